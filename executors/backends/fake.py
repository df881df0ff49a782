"""The simulated chip behind a real qubex ``Experiment``, so that the code for real instruments runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from qubex import Experiment

from executors.backends.base import BackendSession, BaseBackend, instrument_failure
from executors.backends.configuration import SYSTEM_ID, write_parameters, write_simulated_system
from executors.backends.simchip.device import check_size, default_muxes
from executors.backends.simchip.engine import Engine
from executors.backends.simchip.instrument import InstrumentState
from executors.backends.simchip.options import SimulationOptions
from executors.backends.simchip.quel3 import SimulatedQuel3Controller, SimulatedRuns


class FakeBackend(BaseBackend):
    """A simulated chip behind qubex's own controller seam; its faults are read when it is made."""

    kind: ClassVar[str] = "fake"

    def __init__(self, session: BackendSession, simulation: SimulationOptions) -> None:
        # qubex needs multiplexers, also where the chip's topology names none.
        super().__init__(replace(session, muxes=session.muxes or default_muxes(session.n_qubits)))
        self._simulation = simulation.with_faults_from_file(session.chip_id)
        self._instrument = InstrumentState.of(session.chip_id, simulation.instrument_dir)
        self._engine = Engine(session.chip_id, simulation.seed, simulation.noise_seed, self.session.muxes)

    def _build(self) -> Any:
        try:
            check_size(self.session.n_qubits)
        except ValueError as error:
            raise instrument_failure(f"cannot simulate {self.session.chip_id}: {error}", "topology") from None
        write_simulated_system(self.files, self.session.chip_id, self.session.muxes, self.muxes())
        write_parameters(self.files, self._parameters)
        runs = SimulatedRuns(self._instrument, self.session.checkpoint, self._simulation)
        return self._new_experiment(
            Experiment,
            SYSTEM_ID,
            self.files.config,
            muxes=self.muxes(),
            backend_controller=SimulatedQuel3Controller(self._engine, runs),
        )

    def quiesce(self) -> None:
        """Make the simulated instrument idle and check that it is."""
        if self._simulation.error_at_quiesce:
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
    def hardware_seconds(self) -> float:
        """Seconds by the virtual clock: shots times their sequence and interval."""
        return self._engine.hardware_seconds
