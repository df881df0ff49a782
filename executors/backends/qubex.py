"""Real instruments, driven through a qubex ``Experiment``.

``config_dir`` holds one folder per chip, laid out as QDash has it: ``<chip_id>/config`` (chip, system, box
and wiring) and ``<chip_id>/params``. It is only read: each session works on a copy of the parameters with the
stored values in place. This project's tests run nothing here against instruments; they prove that a missing
configuration or driver ends in one clear failure.
"""

from __future__ import annotations

import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Final

import yaml

from executors.backends.base import BackendSession, BaseBackend, instrument_failure
from executors.backends.checkpoints import check_before_executions
from executors.backends.configuration import write_parameters

_DRIVERS: Final = {"quel1": "qxdriver_quel1", "quel3": "quelware_client"}
"""Kind of control system in ``system.yaml``, which is also qubex's extra, and the driver's package."""


class QubexBackend(BaseBackend):
    """Instruments behind a qubex ``Experiment``; every error is an ``instrument`` failure."""

    kind: ClassVar[str] = "qubex"

    def __init__(self, session: BackendSession, config_dir: Path | None) -> None:
        super().__init__(session)
        self._config_dir = config_dir
        self._connected_at: float | None = None
        self._seconds_before = 0.0

    def _build(self) -> Any:
        chip = self.session.chip_id
        config = self._folder("config")
        system_id, flavour = self._system(config)
        driver = _DRIVERS.get(flavour)
        if driver is None or find_spec(driver) is None:
            raise instrument_failure(
                f"the driver for {flavour} control systems is not installed, so {chip} cannot be reached",
                "no_driver",
                f'install it beside the executor: pip install "qubex[{flavour}]"',
            )
        self._copy_parameters(system_id)
        from qubex import Experiment  # noqa: PLC0415  takes 3 s

        try:
            experiment = self._new_experiment(Experiment, system_id, config, muxes=self.muxes() or None)
        except Exception as error:  # a driver may raise anything
            raise instrument_failure(
                f"the instruments of {chip} do not answer: {error}",
                "connect_failed",
                "check power and network",
            ) from error
        check_before_executions(experiment.ctx.backend_controller, self.session.checkpoint)
        self._connected_at = time.monotonic()
        return experiment

    def quiesce(self) -> None:
        """Reset the waveform generators and capture units of the session's qubits, of all when it names none.

        QuEL-3 offers no reset and qubex then does nothing: its executions end on their own. That is reported
        as a failure rather than as an idle instrument.
        """
        opened_here = self._experiment is None
        if opened_here:
            self.connect()
        context = self.get_instance().ctx
        try:
            if not callable(getattr(context.backend_controller, "initialize_awg_and_capunits", None)):
                raise instrument_failure(
                    f"the control system of {self.session.chip_id} offers no reset",
                    "no_reset",
                    "check it by hand",
                )
            labels = {self.label(qid) for qid in self.session.qubits()}
            context.reset_awg_and_capunits(qubits=labels or None)
        except (OSError, RuntimeError, ValueError, TimeoutError) as error:
            raise instrument_failure(
                f"the instruments of {self.session.chip_id} could not be reset: {error}", "reset_failed"
            ) from error
        finally:
            if opened_here:
                self.close()

    def close(self) -> None:
        """Disconnect."""
        self._seconds_before = self.hardware_seconds
        self._connected_at = None
        super().close()

    @property
    def hardware_seconds(self) -> float:
        """Wall time of the connection: an upper bound, as qubex does not report the instruments' own."""
        running = 0.0 if self._connected_at is None else time.monotonic() - self._connected_at
        return self._seconds_before + running

    def _folder(self, name: str) -> Path:
        chip = self.session.chip_id
        if self._config_dir is None:
            raise instrument_failure(
                f"no configuration of the instruments of {chip} is given",
                "no_configuration",
                "set the folder of qubex's configuration",
            )
        folder = self._config_dir / chip / name
        if not folder.is_dir():
            raise instrument_failure(
                f"expected qubex's configuration of {chip} in {folder}", "no_configuration"
            )
        return folder

    def _system(self, config: Path) -> tuple[str, str]:
        """The chip's entry in ``system.yaml``: its name and the kind of control system."""
        path = config / "system.yaml"
        try:
            systems = yaml.safe_load(path.read_text())
            matching = [
                (name, str(entry.get("backend", "quel1")))
                for name, entry in systems.items()
                if entry.get("chip_id", name) == self.session.chip_id
            ]
        except (OSError, AttributeError, yaml.YAMLError) as error:
            raise instrument_failure(f"cannot read {path}: {error}", "bad_configuration") from error
        if not matching:
            raise instrument_failure(
                f"{path} names no system of chip {self.session.chip_id}", "bad_configuration"
            )
        return matching[0]

    def _copy_parameters(self, system_id: str) -> None:
        given = self._folder("params")
        source = given / system_id if (given / system_id).is_dir() else given
        shutil.copytree(source, self.files.parameters, dirs_exist_ok=True)
        write_parameters(self.files, self._parameters)
