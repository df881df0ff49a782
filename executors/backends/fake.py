"""The simulated chip behind a real qubex ``Experiment``: the code that drives instruments is what runs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, ClassVar

from qubex import Experiment

from executors.backends.base import BackendSession, Faults, instrument_failure
from executors.backends.configuration import SYSTEM_ID, write_parameters, write_simulated_system
from executors.backends.experiment import ExperimentBackend
from executors.backends.simchip.device import check_size
from executors.backends.simchip.engine import Engine
from executors.backends.simchip.instrument import InstrumentState
from executors.backends.simchip.quel3 import SimulatedQuel3Controller, SimulatedRuns


class FakeBackend(ExperimentBackend):
    """A simulated chip behind qubex's own controller seam.

    Faults and extra wall time come from the session, or, so that they can be switched from outside the
    process, from ``<chip_id>.faults.json`` in the session's ``instrument_dir`` (the fields of :class:`Faults`
    and ``wall_seconds_per_run``), read when the backend is made.
    """

    kind: ClassVar[str] = "fake"

    def __init__(self, session: BackendSession) -> None:
        super().__init__(_with_faults_from_file(session))
        self._instrument = InstrumentState.of(session.chip_id, session.instrument_dir)
        self._engine = Engine(session.chip_id, session.seed, session.noise_seed)

    def _build(self) -> Any:
        try:
            check_size(self.session.n_qubits)
        except ValueError as error:
            raise instrument_failure(f"cannot simulate {self.session.chip_id}: {error}", "topology") from None
        write_simulated_system(self.files, self.session.chip_id, self.session.n_qubits, self.muxes())
        write_parameters(self.files, self._parameters)
        runs = SimulatedRuns(
            self._instrument,
            self.session.checkpoint,
            self.session.wall_seconds_per_run,
            self.session.faults,
        )
        experiment = Experiment(
            system_id=SYSTEM_ID,
            muxes=self.muxes(),
            config_dir=self.files.config,
            params_dir=self.files.parameters,
            calib_note_path=self.files.note,
            classifier_dir=self.files.classifiers,
            property_dir=self.files.properties,
            backend_controller=SimulatedQuel3Controller(self._engine, runs),
        )
        experiment.connect()
        return experiment

    def quiesce(self) -> None:
        """Make the simulated instrument idle and check that it is."""
        if self.session.faults.error_at_quiesce:
            raise instrument_failure(
                f"the simulated instrument of {self.session.chip_id} does not answer", "simulated_fault"
            )
        self._instrument.reset()
        owner = self._instrument.busy()
        if owner is not None:
            raise instrument_failure(
                f"the simulated instrument of {self.session.chip_id} stays busy ({owner})", "instrument_busy"
            )

    @property
    def busy(self) -> bool:
        """Whether the simulated instrument is running a measurement now."""
        return self._instrument.busy() is not None

    @property
    def hardware_seconds(self) -> float:
        """Seconds by the virtual clock: shots times their sequence and interval."""
        return self._engine.hardware_seconds


def _with_faults_from_file(session: BackendSession) -> BackendSession:
    if session.instrument_dir is None:
        return session
    path = session.instrument_dir / f"{session.chip_id}.faults.json"
    try:
        given = json.loads(path.read_text())
    except FileNotFoundError:
        return session
    wall = float(given.pop("wall_seconds_per_run", session.wall_seconds_per_run))
    return replace(session, wall_seconds_per_run=wall, faults=Faults(**given))
