"""The backend of one session: the chip from the database, the values in force, the job's folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from calibtasks.parameters.declared import declared
from executors.backends.base import BackendSession, BaseBackend
from executors.backends.origins import Origin
from executors.backends.registry import make_backend
from executors.backends.simchip.options import SimulationOptions
from executors.engine.config import CalibConfig, ConfigError
from executors.engine.grouping import Layout
from executors.job.context import JobContext, current_job
from executors.job.persistence import persistently
from executors.job.stop import checkpoint
from qdash_queue.client.database import Database
from qdash_queue.client.models import Chip
from qdash_queue.client.parameters import Parameters
from qdash_queue.client.queue import Queue
from qdash_queue.domain import CalibrationError, ParameterModel
from qdash_queue.scheduling.topology import Topology
from qdash_queue.settings import Settings, read_settings


def session_qids(database: Database, config: CalibConfig) -> tuple[str, ...]:
    """The qubits and couplings that the session may touch: those named, and those of the named multiplexers.

    Raises:
        ConfigError: a multiplexer that the chip does not have.
    """
    qids = list(config.qids)
    known = _muxes(database, config.chip_id) if config.muxes else {}
    for mux in config.muxes or ():
        members = [str(qid) for qid, its_mux in known.items() if its_mux == mux]
        if not members:
            raise ConfigError(f"CalibConfig.muxes: expected multiplexers of chip {config.chip_id}, got {mux}")
        qids += [qid for qid in members if qid not in qids]
    return tuple(qids)


def reversed_coupling(qid: str) -> str:
    """A coupling with control and target exchanged, which its sessions may touch too; a qubit as it is."""
    return "-".join(reversed(qid.split("-")))


def open_backend(context: JobContext, qids: Sequence[str]) -> BaseBackend:
    """The chip's backend, connected, with the values that are in force now.

    Raises:
        CalibrationError: kind ``missing_input`` or ``instrument``; it could not be connected.
    """
    backend = persistently(lambda: _new_backend(context, qids))
    try:
        backend.connect()
    except BaseException:
        backend.close()
        raise
    return backend


def chip_topology(database: Database, chip_id: str) -> Topology:
    """Places, multiplexers and couplings of the chip.

    Raises:
        UnknownNameError: there is no such chip.
    """
    chip = Queue(database).chip(chip_id)
    qubits = database.rows(
        "SELECT qid, grid_row, grid_column, mux FROM calib.qubits WHERE chip_id = %(chip_id)s",
        chip_id=chip_id,
    )
    couplings = database.rows(
        "SELECT control, target FROM calib.couplings WHERE chip_id = %(chip_id)s", chip_id=chip_id
    )
    return Topology.of_rows(
        chip.topology,
        [(row["qid"], row["grid_row"], row["grid_column"], row["mux"]) for row in qubits],
        [(row["control"], row["target"]) for row in couplings],
    )


def read_topology(chip_id: str, settings: Settings | None = None) -> Topology:
    """The chip's topology by the database of the present job, or by that of the settings.

    Raises:
        ConfigError: a plain script that names no database.
        UnknownNameError: there is no such chip.
    """
    context = current_job()
    if context is not None:
        return persistently(lambda: chip_topology(context.database, chip_id))
    url = (settings or read_settings()).database_url
    if not url:
        raise ConfigError("no database is named: set QDASH_QUEUE_DATABASE_URL")
    database = Database(url, application_name="qdash-queue session")
    try:
        return chip_topology(database, chip_id)
    finally:
        database.close()


def chip_layout(context: JobContext, backend: BaseBackend) -> Layout:
    """What lies beside what on the chip: the backend's multiplexers, the chip's couplings."""
    rows = context.database.rows(
        "SELECT control, target FROM calib.couplings WHERE chip_id = %(chip_id)s",
        chip_id=context.claimed.chip_id,
    )
    return Layout.of(backend.session.muxes, [(row["control"], row["target"]) for row in rows])


def make_idle(context: JobContext, backend: BaseBackend, lease_seconds: float) -> None:
    """Make the instrument idle and record it; if that fails, the chip is paused with the reason.

    Raises:
        CalibrationError: it stays busy or does not answer.
        LeaseLostError: another job holds the chip by now; the instrument was not touched.
        DatabaseUnreachableError: the lease could not be checked, or the instrument's state not be recorded.
    """
    # Checked first: the next holder of the chip may be in the middle of a measurement.
    persistently(lambda: context.lease.heartbeat(lease_seconds))
    try:
        backend.quiesce()
    except CalibrationError as error:
        context.lease.quiesce_failed(str(error))
        raise
    context.lease.quiesced()


def quiesce(context: JobContext, chip: Chip) -> None:
    """Make the chip's instrument idle from a process that has not used it; the caller records the outcome.

    Needs no database: an instrument is not to blame for a database that restarts.

    Raises:
        CalibrationError: it stays busy or does not answer.
    """
    _backend_of(context, chip, ()).quiesce()


def make_idle_before_use(context: JobContext, lease_seconds: float) -> None:
    """Make an instrument idle whose last user was lost; errors as of :func:`make_idle`."""
    backend = persistently(lambda: _new_backend(context, ()))
    try:
        make_idle(context, backend, lease_seconds)
    finally:
        backend.close()


def _new_backend(context: JobContext, qids: Sequence[str]) -> BaseBackend:
    database, chip_id = context.database, context.claimed.chip_id
    chip = Queue(database).chip(chip_id)
    ends = (part for qid in qids for part in qid.split("-"))
    wanted = sorted({*qids, *map(reversed_coupling, qids), *ends})
    return _backend_of(
        context,
        chip,
        qids,
        parameters=_values_in_force(database, chip_id, wanted),
        muxes=_muxes(database, chip_id),
        origins=_origins(database, chip_id, wanted),
    )


def _backend_of(context: JobContext, chip: Chip, qids: Sequence[str], **stored: Any) -> BaseBackend:
    session = BackendSession(
        chip_id=chip.chip_id,
        n_qubits=chip.n_qubits,
        qids=tuple(qids),
        scratch=context.scratch,
        checkpoint=checkpoint,
        **{"parameters": {}, **stored},
    )
    simulation = SimulationOptions(
        instrument_dir=context.instrument_dir,
        seed=context.seed,
        # Another attempt sees other noise; the same one, measured again in a test, sees the same.
        noise_seed=context.claimed.fence,
    )
    return make_backend(context.backend_kind, session, simulation, context.qubex_config_dir)


def _muxes(database: Database, chip_id: str) -> dict[int, int]:
    """The readout multiplexer of each qubit that has one, by qubit number."""
    rows = database.rows(
        "SELECT qid::integer, mux FROM calib.qubits WHERE chip_id = %(chip_id)s AND mux IS NOT NULL"
        " ORDER BY 1",
        chip_id=chip_id,
    )
    return {row["qid"]: row["mux"] for row in rows}


def _values_in_force(
    database: Database, chip_id: str, qids: list[str]
) -> dict[str, dict[str, ParameterModel]]:
    values: dict[str, dict[str, ParameterModel]] = {}
    for found in Parameters(database, chip_id).current(qids):
        values.setdefault(found.qid, {})[found.name] = found.as_model()
    return values


def _origins(database: Database, chip_id: str, qids: list[str]) -> dict[str, dict[str, Origin]]:
    """The measurements of the values in force that another value's change can spoil."""
    rows = database.rows(
        "SELECT p.qid, p.name, t.qid AS measured, t.input_parameters"
        " FROM calib.parameters p JOIN calib.task_runs t USING (task_run_id)"
        " WHERE p.chip_id = %(chip_id)s AND p.qid = ANY(CAST(%(qids)s AS text[]))"
        " AND p.name = ANY(CAST(%(names)s AS text[]))",
        chip_id=chip_id,
        qids=qids,
        names=[name for name, param in declared().items() if param.spoiled_by],
    )
    origins: dict[str, dict[str, Origin]] = {}
    for row in rows:
        inputs = {key: ParameterModel.model_validate(value) for key, value in row["input_parameters"].items()}
        origins.setdefault(row["qid"], {})[row["name"]] = Origin(row["measured"], inputs)
    return origins
