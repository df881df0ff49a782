"""The command ``qdash-executor``: serve one chip, or only register its flows and tasks."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from executors.child.forkserver import start_forkserver
from executors.child.importing import heavy_imports
from executors.environment import executor_environment
from executors.flows import catalogue_tasks, find_flows
from executors.flows import register as register_flows
from executors.job.context import instruments_folder
from executors.job.lease_keeper import LeaseTimes
from executors.job.messages import ChildSetup
from qdash_queue.client.database import Database
from qdash_queue.client.leases import Executor
from qdash_queue.compatibility import require_schema
from qdash_queue.errors import (
    DatabaseUnreachableError,
    LeaseLostError,
    QueueError,
    SchemaMissingError,
    unknown_chip,
)
from qdash_queue.extras import MissingExtraError, distribution_version, require_extras
from qdash_queue.settings import Settings, SettingsError, read_settings

if TYPE_CHECKING:
    from executors.supervisor.supervisor import SupervisorOptions

EXIT_USAGE = 2
"""An option or a setting that cannot be read."""
EXIT_REFUSED = 3
"""The database answers, and refuses: no such chip, no right, another kind of backend, a bad catalogue."""
EXIT_UNREACHABLE = 4
"""A needed server does not answer, is not named, or has a schema of another version; or no extra."""
EXIT_LOST = 5
"""The database does not know the lease under which this executor drove the chip."""

app = typer.Typer(
    help="The executor of one chip: claims its jobs one after the other and runs their flows.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


class BackendKind(StrEnum):
    """Which kind of instrument this executor drives."""

    FAKE = "fake"
    QUBEX = "qubex"


Chip = Annotated[str, typer.Option("--chip", help="The chip to serve.", show_default=False)]
Backend = Annotated[
    BackendKind | None,
    typer.Option("--backend", help="What this executor drives; without it, what the chip says."),
]

Flows = Annotated[
    Path | None,
    typer.Option(
        "--flows", help="Offer the flows of this folder's files and packages too; see docs/flows.md."
    ),
]


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    chip: Annotated[str, typer.Option("--chip")] = "",
    backend: Backend = None,
    flows: Flows = None,
) -> None:
    """Serve a chip until SIGTERM; a running job is then stopped and goes back, or ends as its flow says."""
    if context.invoked_subcommand is not None:
        return
    if not chip:
        raise typer.BadParameter("expected the chip to serve, got nothing", param_hint="--chip")
    with _refusals_in_words():
        settings = _prepare_process(flows)
        _serve(settings, chip, backend)


@app.command()
def register(chip: Chip, backend: Backend = None, flows: Flows = None) -> None:
    """Register the flows and tasks that can be submitted on a chip, without serving it."""
    with _refusals_in_words():
        settings = _prepare_process(flows)
        executor = _executor(settings, chip, backend)
        found = find_flows(settings.flows_path)  # Defines the tasks of flow files.
        tasks = catalogue_tasks()
        offered = register_flows(executor, found, tasks)
        for finding in offered.findings:
            typer.echo(f"{chip}: not offered: {finding}", err=True)
        typer.echo(
            f"{chip}: {len(offered.flows)} flows ({', '.join(offered.flows)}) and {len(tasks)} tasks"
            f" ({', '.join(task.task for task in tasks)}) can be submitted"
        )


def _serve(settings: Settings, chip: str, backend: BackendKind | None) -> None:
    if not settings.prefect_api_url:
        raise DatabaseUnreachableError(
            "no Prefect server is named: set QDASH_QUEUE_PREFECT_API_URL to http://host:4200/api"
        )
    executor = _executor(settings, chip, backend)
    executor.register()  # A refusal comes before anything heavy is loaded.
    executor.seen("warming up")
    start_forkserver(settings.flows_path)
    with heavy_imports():
        # Loads Prefect, whose settings are made by now.
        from executors.supervisor.supervisor import Supervisor  # noqa: PLC0415

        supervisor = Supervisor(_options(settings, executor), executor, find_flows(settings.flows_path))

    def leave(_signal: int, _frame: FrameType | None) -> None:
        supervisor.stop()

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    supervisor.serve()


def _prepare_process(flows: Path | None) -> Settings:
    require_extras("qdash-executor", "executor")
    settings = read_settings()
    settings = settings.model_copy(update={"flows_path": _flows_folder(flows, settings)})
    logging.basicConfig(level=_log_level(settings), format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    os.environ.update(executor_environment(settings.prefect_api_url))
    return settings


def _flows_folder(option: Path | None, settings: Settings) -> Path | None:
    folder = option or settings.flows_path
    if folder is not None and not folder.is_dir():
        name = "QDASH_QUEUE_FLOWS_PATH" if option is None else "--flows"
        raise SettingsError(name, f"{name}: expected a folder, got {str(folder)!r}")
    return folder and folder.absolute()


def _log_level(settings: Settings) -> int:
    return logging.getLevelNamesMapping()[settings.log_level]


def _executor(settings: Settings, chip: str, backend: BackendKind | None) -> Executor:
    database = Database(settings.database_url, application_name=f"qdash-executor {chip}")
    require_schema(database)
    row = database.row("SELECT backend FROM calib.chips WHERE chip_id = %(chip_id)s", chip_id=chip)
    if row is None:
        known = database.rows("SELECT chip_id FROM calib.chips ORDER BY 1")
        raise unknown_chip(chip, [str(row["chip_id"]) for row in known])
    kind = backend.value if backend is not None else str(row["backend"])
    return Executor(database, chip, kind, distribution_version())


def _options(settings: Settings, executor: Executor) -> SupervisorOptions:
    from executors.supervisor.stop_escalation import Graces  # noqa: PLC0415 - loads Prefect
    from executors.supervisor.supervisor import SupervisorOptions  # noqa: PLC0415

    return SupervisorOptions(
        setup=ChildSetup(
            database_url=settings.database_url,
            backend_kind=executor.backend,
            instrument_dir=instruments_folder(settings.state_path),
            seed=settings.sim_seed,
            log_level=_log_level(settings),
            qubex_config_dir=settings.qubex_config_path,
            flows_dir=settings.flows_path,
        ),
        times=LeaseTimes.of(settings),
        graces=Graces(term=settings.term_grace_seconds),
        idle_poll=(settings.poll_seconds, 5 * settings.poll_seconds),
        with_deployment=settings.prefect_deployment,
        state_path=settings.state_path,
    )


@contextmanager
def _refusals_in_words() -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        typer.echo(f"{error}", err=True)
        raise typer.Exit(EXIT_USAGE) from error
    except LeaseLostError as error:
        typer.echo(f"{error}; this executor has stopped its job and ends: start it again", err=True)
        raise typer.Exit(EXIT_LOST) from error
    except QueueError as error:
        typer.echo(f"{error}" + (f" ({error.hint})" if error.hint else ""), err=True)
        raise typer.Exit(EXIT_REFUSED) from error
    except (DatabaseUnreachableError, MissingExtraError, SchemaMissingError) as error:
        typer.echo(f"{error}", err=True)
        raise typer.Exit(EXIT_UNREACHABLE) from error
