"""The backend of one session: the chip from the database, the values in force, the job's folder."""

from __future__ import annotations

from collections.abc import Sequence

from executors.backends.base import BackendSession, BaseBackend, make_backend
from executors.engine.config import CalibConfig, ConfigError
from executors.job.context import JobContext
from executors.job.persistence import persistently
from executors.job.stop import checkpoint
from qdash_queue.client.database import Database
from qdash_queue.client.models import Chip
from qdash_queue.client.parameters import Parameters
from qdash_queue.client.queue import Queue
from qdash_queue.domain import CalibrationError, ParameterModel
from qdash_queue.settings import read_settings


def session_qids(database: Database, config: CalibConfig) -> tuple[str, ...]:
    """The qubits and couplings that the session may touch: those named, and those of the named multiplexers.

    Raises:
        ConfigError: a multiplexer that the chip does not have.
    """
    qids = list(config.qids)
    for mux in config.muxes or ():
        rows = database.rows(
            "SELECT qid FROM calib.qubits WHERE chip_id = :chip_id AND mux = :mux ORDER BY qid::integer",
            chip_id=config.chip_id,
            mux=mux,
        )
        if not rows:
            raise ConfigError(f"CalibConfig.muxes: expected multiplexers of chip {config.chip_id}, got {mux}")
        qids += [row["qid"] for row in rows if row["qid"] not in qids]
    return tuple(qids)


def open_backend(context: JobContext, qids: Sequence[str]) -> BaseBackend:
    """The chip's backend, connected, with the values that are in force now.

    Raises:
        CalibrationError: kind ``missing_input`` or ``instrument``; it could not be connected.
    """
    session = persistently(lambda: backend_session(context, qids))
    backend = make_backend(context.backend_kind, session)
    try:
        backend.connect()
    except BaseException:
        backend.close()
        raise
    return backend


def bring_to_rest(context: JobContext, backend: BaseBackend, lease_seconds: float) -> None:
    """Make the instrument idle and note it; if that fails, the chip is paused with the reason.

    Raises:
        CalibrationError: it stays busy or does not answer.
        LeaseLostError: the chip belongs to somebody else by now; the instrument was not touched.
        DatabaseUnreachableError: nobody knows whose the chip is, or how the instrument is could not be noted.
    """
    # Asked first: whoever holds the chip after us may be in the middle of a measurement.
    persistently(lambda: context.lease.heartbeat(lease_seconds))
    try:
        backend.quiesce()
    except CalibrationError as error:
        context.lease.quiesce_failed(str(error))
        raise
    context.lease.quiesced()


def quiesce(context: JobContext, chip: Chip) -> None:
    """Make the chip's instrument idle from a process that has not used it; the caller notes how it went.

    Needs no database: an instrument is not to blame for a database that restarts.

    Raises:
        CalibrationError: it stays busy or does not answer.
    """
    make_backend(context.backend_kind, _session(context, chip, (), {})).quiesce()


def rest_before_use(context: JobContext, lease_seconds: float) -> None:
    """Bring an instrument to rest whose last user was lost; errors as of :func:`bring_to_rest`."""
    session = persistently(lambda: backend_session(context, ()))
    backend = make_backend(context.backend_kind, session)
    try:
        bring_to_rest(context, backend, lease_seconds)
    finally:
        backend.close()


def backend_session(context: JobContext, qids: Sequence[str]) -> BackendSession:
    """What the backend is told about the job."""
    chip = Queue(context.database).chip(context.claimed.chip_id)
    return _session(context, chip, qids, _values_in_force(context.database, chip.chip_id, qids))


def _session(
    context: JobContext,
    chip: Chip,
    qids: Sequence[str],
    parameters: dict[str, dict[str, ParameterModel]],
) -> BackendSession:
    return BackendSession(
        chip_id=chip.chip_id,
        topology=chip.topology,
        n_qubits=chip.n_qubits,
        qids=tuple(qids),
        parameters=parameters,
        scratch=context.scratch,
        seed=context.seed,
        # Another attempt sees other noise; the same one, measured again in a test, sees the same.
        noise_seed=context.claimed.fence,
        instrument_dir=context.instrument_dir,
        config_dir=read_settings().qubex_config_path,
        checkpoint=checkpoint,
    )


def _values_in_force(
    database: Database, chip_id: str, qids: Sequence[str]
) -> dict[str, dict[str, ParameterModel]]:
    wanted = sorted({*qids, *(part for qid in qids for part in qid.split("-"))})
    values: dict[str, dict[str, ParameterModel]] = {}
    for found in Parameters(database, chip_id).current(wanted):
        values.setdefault(found.qid, {})[found.name] = found.as_model()
    return values
