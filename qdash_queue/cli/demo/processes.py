"""The demo's processes: servers, an executor and a mirror in a folder of its own; nothing is left behind."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from qdash_queue.cli.embedded_servers import DATABASE, make_database
from qdash_queue.cli.error_messages import RefusedError
from qdash_queue.embedded.process import Lifetime, ProcessSpec, ServerProcess, stop_detached
from qdash_queue.embedded.servers import EmbeddedServers, Report

MARKER = "this-is-a-demo"
LOG_LINES = 15


class DemoProcesses:
    """Everything that runs for the demo.

    Args:
        folder: holds all of it but the figures.
        output: where the mirror writes figures.
        lifetime: with this process, or detached.
    """

    def __init__(self, folder: Path, output: Path, lifetime: Lifetime) -> None:
        self.folder = folder
        self.output = output
        self.servers = EmbeddedServers(folder, lifetime=lifetime)
        self._lifetime = lifetime
        self._processes: dict[str, ServerProcess] = {}

    def url_of(self, role: str) -> str:
        """The demo's database for one login role."""
        return self.servers.postgres.url_of(DATABASE, role)

    @property
    def owner_url(self) -> str:
        """The demo's database for its superuser."""
        return self.servers.postgres.url_of(DATABASE)

    @property
    def psql(self) -> Path:
        """The client program that belongs to the server."""
        return self.servers.postgres.psql

    def start_servers(self, report: Report) -> None:
        """Start PostgreSQL, MongoDB and Prefect's server, and make the database."""
        self.servers.start(report)
        make_database(self.servers.postgres.url, DATABASE)

    def variables(self, role: str) -> dict[str, str]:
        """The settings of one process."""
        return {
            "QDASH_QUEUE_DATABASE_URL": self.url_of(role),
            "QDASH_QUEUE_MONGO_URL": self.servers.mongo.url,
            "QDASH_QUEUE_PREFECT_API_URL": self.servers.prefect.url,
            "QDASH_QUEUE_DATA_PATH": str(self.output),
            "QDASH_QUEUE_STATE_PATH": str(self.folder / "state"),
        }

    def start_process(self, name: str, command: list[str], role: str) -> None:
        """Start one of this project's own programs; it ends in order when the processes is cleared."""
        home = self.folder / name
        home.mkdir()
        spec = ProcessSpec(
            name,
            [_program(command[0]), *command[1:]],
            home,
            _clean_environment() | self.servers.prefect.client_environment | self.variables(role),
            grace_seconds=30.0,
            lifetime=self._lifetime,
        )
        self._processes[name] = ServerProcess(spec)

    def wait_for(self, name: str, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until a process has come up.

        Raises:
            EmbeddedServerError: it ended, or it is not ready in time; with the end of its log.
        """
        self._processes[name].wait_until(ready, seconds=seconds)

    def release(self) -> None:
        """Let everything go on without this process."""
        for process in self._processes.values():
            process.release()
        self.servers.release()

    def stop(self) -> None:
        """Stop everything, the executor and the mirror first."""
        with ExitStack() as stack:
            stack.callback(self.servers.stop)
            for process in self._processes.values():
                stack.callback(process.stop)

    def log_ends(self) -> Iterator[str]:
        """The last lines that the executor and the mirror wrote."""
        for name, process in self._processes.items():
            yield from (f"{name}: {line}" for line in process.log_text().splitlines()[-LOG_LINES:])

    def left_over(self) -> list[str]:
        """Processes that still speak of the folder, by number and command line; none without /proc."""
        return list(_processes_of(str(self.folder)))


@contextmanager
def demo_processes(output: Path, *, keep: bool) -> Iterator[DemoProcesses]:
    """A processes in a new folder; it is cleared at the end unless it is to be kept and all went well."""
    prepare_output(output)
    # Without links: by this path the processes of the demo are told from others.
    folder = Path(tempfile.mkdtemp(prefix="qdash-queue-demo-")).resolve()
    # PostgreSQL refuses to run as root: the account that root lends it must reach its own folder below.
    folder.chmod(0o711)
    (folder / MARKER).touch()
    processes = DemoProcesses(folder, output.resolve(), Lifetime.DETACHED if keep else Lifetime.WITH_OWNER)
    kept = False
    try:
        yield processes
        kept = keep
    finally:
        if kept:
            processes.release()
        else:
            processes.stop()
            shutil.rmtree(folder, ignore_errors=True)


def prepare_output(output: Path) -> None:
    """An empty folder for the figures; those of an earlier demo are removed, no others.

    Raises:
        RefusedError: something else lies there.
    """
    if output.exists() and not (output / MARKER).exists() and (not output.is_dir() or any(output.iterdir())):
        raise RefusedError(
            f"expected a new or empty folder for the figures, got {output}: move it away or name another",
            column="output",
        )
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    (output / MARKER).touch()


def stop_kept(folder: Path) -> list[str]:
    """Stop what an earlier demo left up, and remove its folder.

    Returns:
        The names of what was stopped.

    Raises:
        RefusedError: the folder is none of a demo.
    """
    if not (folder / MARKER).exists():
        raise RefusedError(f"expected the folder of a kept demo, got {folder}", column="stop")
    # A link to the folder cannot be removed in its place.
    folder = folder.resolve()
    stopped = stop_detached(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return stopped


def _program(name: str) -> str:
    """The program of that name beside this Python, else the one on the PATH."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which(name, path=beside) or shutil.which(name)
    if found is None:
        raise RefusedError(
            f"expected the program {name} in {beside}: install qdash-queue[executor,mirror,embedded]"
        )
    return found


def _clean_environment() -> dict[str, str]:
    """The caller's variables without those that lead to other servers."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("QDASH_QUEUE_", "PREFECT_"))
    }


def _processes_of(words: str) -> Iterator[str]:
    own = {str(os.getpid()), str(os.getppid())}
    for entry in Path("/proc").glob("[0-9]*"):
        if entry.name in own:
            continue
        command, environment = _text(entry / "cmdline"), _text(entry / "environ")
        if words in command or words in environment:
            yield f"{entry.name}: {command.strip() or '(no command line)'}"


def _text(file: Path) -> str:
    """What a file of another process holds; nothing if it has ended or is not ours to read."""
    try:
        return file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
