"""docker-compose.yml and the Dockerfile against the programs: commands, variables, SQL, names.

Whether the whole comes up is for a machine with a Docker engine to show.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer.main
import yaml
from typer.core import TyperGroup

from executors.main import app as executor_app
from qdash_queue.cli import app as queue_app
from qdash_queue.embedded.postgres import embedded_bin
from qdash_queue.settings import Settings
from tests.cli.desk import type_in
from tests.support.databases import CalibDatabase

ROOT = Path(__file__).parents[1]
PROGRAMS = {"qdash-queue": queue_app, "qdash-executor": executor_app}
UNPRIVILEGED = 65534
# Who reads everything (this Python may lie in root's home) and writes nowhere but in what is theirs.
AS_ANOTHER = [
    *("setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--"),
]
UI_BUILD = Path(str(find_spec("prefect").origin)).parent / "server" / "ui_build"  # type: ignore[union-attr]
VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+)(:\?[^}]*)?\}")


def _compose() -> dict[str, Any]:
    text = VARIABLE.sub(lambda found: found["name"].lower(), (ROOT / "docker-compose.yml").read_text())
    loaded = yaml.safe_load(text.replace("$$", "$"))
    assert isinstance(loaded, dict)
    return loaded


COMPOSE = _compose()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
COMMANDS = {name: service["command"] for name, service in SERVICES.items() if "command" in service}


@pytest.mark.parametrize(
    "command", [command for command in COMMANDS.values() if command[0] in PROGRAMS], ids=" ".join
)
def test_every_command_is_one_of_the_programs(command: list[str]) -> None:
    program, *arguments = command
    found = typer.main.get_command(PROGRAMS[program])
    parent = None
    while isinstance(found, TyperGroup) and arguments and arguments[0] in found.commands:
        parent = typer.Context(found, parent=parent, info_name=found.name)
        found = found.commands[arguments.pop(0)]
    if isinstance(found, TyperGroup):
        assert not [word for word in arguments[:1] if not word.startswith("-")], "no such subcommand"
        assert found.invoke_without_command
    # Raises for an unknown option or a missing argument.
    with found.make_context(program, arguments, parent=parent) as context:
        assert not context.args


def test_prefects_command_has_its_options() -> None:
    command = COMMANDS["prefect"]
    assert command[:3] == ["prefect", "server", "start"]
    done = subprocess.run(
        [sys.executable, "-m", *command[:3], "--help"], capture_output=True, text=True, check=True
    )
    options = {word for word in command if word.startswith("--")}
    assert options
    assert all(option in done.stdout for option in options)


def _variables(prefix: str) -> Iterator[tuple[str, str]]:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if name.startswith(prefix):
                yield name, value


def test_every_variable_is_a_setting_and_its_value_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    given = list(_variables("QDASH_QUEUE_"))
    assert given
    for name, value in given:
        field = name.removeprefix("QDASH_QUEUE_").lower()
        assert field in Settings.model_fields, f"{name} is no setting"
        monkeypatch.setenv(name, value)
        assert str(getattr(Settings(), field)) == value


def test_prefects_variables_are_known_to_prefect() -> None:
    names = {name for name, _ in _variables("PREFECT_")} - {"PREFECT_PASSWORD"}
    names |= set(re.findall(r"PREFECT_[A-Z_]+(?==)", (ROOT / "Dockerfile").read_text()))
    code = "import sys, prefect.settings as s; print([n for n in sys.argv[1:] if not hasattr(s, n)])"
    done = subprocess.run(
        [sys.executable, "-c", code, *sorted(names)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_names_lead_somewhere() -> None:
    for name, service in SERVICES.items():
        for other, wish in service.get("depends_on", {}).items():
            assert other in SERVICES, f"{name} waits for {other}"
            if wish["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} waits for {other} to be healthy"
        for config in service.get("configs", []):
            assert config["source"] in COMPOSE["configs"]
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in COMPOSE["volumes"]
        for value in service.get("environment", {}).values():
            for host in re.findall(r"(?:@|//)([a-z]+):\d+", value):
                assert host in {*SERVICES, "localhost"}, f"{name} speaks to {host}"


def _chip(command: list[str]) -> str:
    return command[command.index("--chip") + 1]


def test_there_is_an_executor_for_each_chip_that_is_made() -> None:
    made = {_chip(command) for command in COMMANDS.values() if command[:2] == ["qdash-queue", "setup"]}
    served = {_chip(command) for command in COMMANDS.values() if command[0] == "qdash-executor"}
    assert made == served


def test_health_check_of_prefect_is_python() -> None:
    *_, code = SERVICES["prefect"]["healthcheck"]["test"]
    compile(code, "healthcheck", "exec")


def _psql(url: str, script: str, environment: dict[str, str], folder: Path) -> None:
    file = folder / "script.sql"
    file.write_text(script)
    # The service's own options, so that they are tried too.
    *options, _file = COMMANDS["roles"][1:]
    subprocess.run(
        [str(embedded_bin() / "psql"), *options, f"--file={file}", url],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )


def test_logins_and_chips_are_made_and_may_be_made_again(
    empty_database: CalibDatabase, tmp_path: Path
) -> None:
    database, script = empty_database, COMPOSE["configs"]["roles"]["content"]
    words = dict.fromkeys(re.findall(r"\\getenv \w+ (\w+)", script), "secret")
    assert set(words) <= set(SERVICES["roles"]["environment"])
    logins = re.findall(r"ALTER ROLE (\w+)", script)
    database.roles += logins
    for _ in range(2):
        _psql(database.url, script, words, tmp_path)
        done = type_in(*COMMANDS["setup"][1:], environment={"QDASH_QUEUE_DATABASE_URL": database.url})
        assert done.status == 0, done.err
        # The passwords are those of the shell, so that the services know them.
        assert "keep these URLs" not in done.out
    used = " ".join(value for _, value in _variables("QDASH_QUEUE_DATABASE_URL"))
    for login in set(logins) - {"queue_admin", "alice"}:
        assert f"//{login}:" in used
    executor = database.server.url_of(database.name, "sim16_executor", "secret")
    with psycopg.connect(executor, autocommit=True) as connection:
        connection.execute("SELECT calib.register_executor('compose', 'SIM16', 'fake', 'host', 1, '0.1.0')")


def test_prefects_database_is_made(database: CalibDatabase, tmp_path: Path) -> None:
    script = COMPOSE["configs"]["prefect-database"]["content"].replace(
        "DATABASE prefect", "DATABASE test_prefect"
    )
    try:
        _psql(database.url, script, {"PREFECT_PASSWORD": "three"}, tmp_path)
        with psycopg.connect(
            database.server.url_of("test_prefect", "prefect", "three"), autocommit=True
        ) as connection:
            # What Prefect's own migrations need and only the database's owner may do.
            connection.execute("CREATE EXTENSION pg_trgm")
    finally:
        with database.connect() as connection:
            connection.execute("DROP DATABASE IF EXISTS test_prefect")
            connection.execute("DROP ROLE IF EXISTS prefect")


def _pages_status(pages: Path | None, home: Path) -> str:
    """Status of Prefect's page and whether it is HTML, served by a user who may write to these only."""
    code = (
        "from starlette.testclient import TestClient\n"
        "from prefect.server.api.server import create_ui_app\n"
        "page = TestClient(create_ui_app(ephemeral=False)).get('/', headers={'Accept': 'text/html'})\n"
        "print(page.status_code, '<html' in page.text)"
    )
    environment = {**os.environ, "PREFECT_HOME": str(home), "HOME": str(home)}
    environment.pop("PREFECT_PROFILES_PATH", None)
    if pages is not None:
        environment["PREFECT_SERVER_UI_STATIC_DIRECTORY"] = str(pages)
    done = subprocess.run(
        [*AS_ANOTHER, sys.executable, "-c", code],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="cannot become another user")
@pytest.mark.skipif(UI_BUILD.exists(), reason="Prefect's pages were copied into its package here")
def test_prefects_pages_are_there_for_the_images_user() -> None:
    """With the directory that the image names they are; without it they are not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for each in (folder, folder / "pages"):
            each.mkdir(exist_ok=True)
            os.chown(each, UNPRIVILEGED, UNPRIVILEGED)
        assert _pages_status(folder / "pages", folder) == "200 True"
        assert _pages_status(None, folder) == "404 False"


def test_the_images_user_owns_the_directory_of_prefects_pages() -> None:
    text = (ROOT / "Dockerfile").read_text()
    (pages,) = re.findall(r"PREFECT_SERVER_UI_STATIC_DIRECTORY=(\S+)", text)
    (made,) = re.findall(r"install --directory --owner queue --group queue (.+)", text)
    assert pages in made.split()
    assert text.index("USER queue") > text.index(made)


def test_the_image_is_built_by_pip_where_uv_cannot() -> None:
    """The shell line of the image with stand-ins of both programs: uv fails, pip installs the same."""
    (line,) = re.findall(
        r"^RUN (pip install .+(?:(?<=\\)\n.+)+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )
    said = subprocess.run(
        ["sh", "-ec", 'pip() { echo "pip $*"; }; uv() { echo "uv $*"; return 1; }\n' + line],
        env={"EXTRAS": "executor"},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second, third = said.stdout.splitlines()
    assert first.endswith(" uv")
    assert second.startswith("uv pip install")
    assert third.startswith("pip install")
    for option in ("--constraint constraints.txt", ".[executor]"):
        assert option in second
        assert option in third


def test_image_copies_what_is_there_and_installs_known_extras() -> None:
    text = (ROOT / "Dockerfile").read_text()
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {word for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE) for word in line.split()[:-1]}
    assert copied == sent
    assert all((ROOT / name).exists() for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = re.findall(r"^ARG EXTRAS=(.+)$", text, re.MULTILINE)[0].split(",")
    assert set(extras) <= project["optional-dependencies"].keys()
    assert f"image: qdash-queue:{project['version']}" in (ROOT / "docker-compose.yml").read_text()
