"""The backends by kind."""

from __future__ import annotations

from pathlib import Path

from executors.backends.base import BackendSession, BaseBackend
from executors.backends.simchip.options import SimulationOptions
from qdash_queue.domain import CalibrationError, Failure, FailureKind


def make_backend(
    kind: str, session: BackendSession, simulation: SimulationOptions, config_dir: Path | None
) -> BaseBackend:
    """The backend of that kind, not yet connected: ``fake`` (takes ``simulation``) or ``qubex``.

    ``config_dir`` is the folder of qubex's configuration of real instruments. Raises CalibrationError
    (``invalid_request``) on an unknown kind.
    """
    if kind == "fake":
        from executors.backends.fake import FakeBackend  # noqa: PLC0415  loads qubex: 3 s

        return FakeBackend(session, simulation)
    if kind == "qubex":
        from executors.backends.qubex import QubexBackend  # noqa: PLC0415

        return QubexBackend(session, config_dir)
    raise CalibrationError(
        Failure(
            kind=FailureKind.INVALID_REQUEST,
            cause="unknown_backend",
            message=f'unknown backend "{kind}": expected "fake" or "qubex"',
        )
    )
