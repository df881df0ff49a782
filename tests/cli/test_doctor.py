"""What the doctor says in each broken situation, and that it says how to fix it."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata

import psycopg
import pytest

from qdash_queue.embedded.prefect_server import PrefectServer
from qdash_queue.mirror.heartbeat import MirrorHeartbeat
from tests.cli.desk import CHIP, Desk, type_in
from tests.cli.diagnosis import at, diagnosis, problems
from tests.support.databases import CalibDatabase

CLOSED = "127.0.0.1:1"


@contextmanager
def other_server() -> Iterator[str]:
    """A web server that is not Prefect's."""
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_all_is_well(desk: Desk, prefect_server: PrefectServer, mongo_url: str) -> None:
    settings = {"prefect_api_url": prefect_server.url, "mongo_url": mongo_url}
    mirror = MirrorHeartbeat(desk.roles["mirror"].database)
    mirror.report()
    outcome = desk.run("doctor", **settings)
    assert outcome.status == 0, outcome.out
    assert all(line.startswith("ok ") for line in outcome.out.splitlines()), outcome.out
    told = {each["about"] for each in desk.run("doctor", "--json", **settings).document}
    assert told == {
        *("database", "role", "schema", "projects", f"chip {CHIP}", "mirror", "mirrors", "transactions"),
        *("Prefect", "MongoDB"),
    }


def test_no_database_is_named() -> None:
    outcome = type_in("doctor")
    assert outcome.status == 1
    assert "QDASH_QUEUE_DATABASE_URL" in outcome.out
    assert "qdash-queue up" in outcome.out


@pytest.mark.parametrize(
    ("change", "said", "remedy"),
    [
        ({"host": CLOSED}, "PostgreSQL does not answer", "Start it"),
        ({"database": "no_such_database"}, "does not exist", "CREATE DATABASE"),
        ({"user": "no_such_role"}, "PostgreSQL", "role"),
        ({"word": "mysql"}, "expected a PostgreSQL URL", "Set the variable"),
    ],
)
def test_a_database_that_cannot_be_reached(
    shared_desk: Desk, change: dict[str, str], said: str, remedy: str
) -> None:
    good = psycopg.conninfo.conninfo_to_dict(shared_desk.roles["operator"].url)
    if "word" in change:
        url = "mysql://x/y"
    elif "host" in change:
        url = f"postgresql://x@{CLOSED}/y"
    else:
        name, user = change.get("database", good["dbname"]), change.get("user", good["user"])
        url = (
            f"postgresql://{user}:{good.get('password', 'x')}@/{name}?host={good['host']}&port={good['port']}"
        )
    outcome = at(url)
    assert outcome.status == 1
    found = diagnosis(outcome, "database")
    assert said in found["words"]
    assert remedy.lower() in found["remedy"].lower()


def test_a_database_without_the_queue(empty_database: CalibDatabase) -> None:
    outcome = at(empty_database.url)
    assert outcome.status == 1
    assert "qdash-queue migrate" in diagnosis(outcome, "schema")["remedy"]


def test_a_schema_that_is_behind_or_ahead(desk: Desk) -> None:
    def replace(version: int) -> None:
        with desk.database.connect() as connection:
            connection.execute(
                "CREATE OR REPLACE FUNCTION calib.schema_version() RETURNS integer LANGUAGE sql IMMUTABLE"
                f" SET search_path = pg_catalog, pg_temp AS 'SELECT {version}'"
            )

    replace(0)
    behind = desk.run("doctor", "--json")
    assert behind.status == 1
    assert "qdash-queue migrate" in diagnosis(behind, "schema")["remedy"]
    replace(999)
    ahead = desk.run("doctor", "--json")
    assert ahead.status == 0
    assert diagnosis(ahead, "schema")["level"] == "note"


def test_an_extension_is_missing(desk: Desk) -> None:
    with desk.database.connect() as connection:
        connection.execute("DROP EXTENSION pg_trgm CASCADE")
    outcome = desk.run("doctor", "--json")
    assert outcome.status == 1
    assert "CREATE EXTENSION pg_trgm" in diagnosis(outcome, "extensions")["remedy"]


def test_a_login_without_a_role(desk: Desk) -> None:
    stranger = desk.database.login()
    outcome = at(stranger.url)
    assert outcome.status == 1
    assert f"GRANT calib_submitter TO {stranger.name}" in diagnosis(outcome, "role")["remedy"]


def test_a_submitter_without_a_project(desk: Desk) -> None:
    stranger = desk.database.login("calib_submitter")
    outcome = at(stranger.url)
    assert problems(outcome) == ["projects"]
    assert f"members grant PROJECT {stranger.name}" in diagnosis(outcome, "projects")["remedy"]


def test_no_project_and_no_chip_yet(bare_desk: Desk) -> None:
    outcome = bare_desk.run("doctor", "--json", role="admin")
    assert problems(outcome) == ["projects"]
    assert "chips add" in diagnosis(outcome, "chips")["remedy"]


def test_a_chip_for_which_nobody_registered(bare_desk: Desk) -> None:
    bare_desk.furnish()
    outcome = bare_desk.run("doctor", "--json")
    assert problems(outcome) == [f"chip {CHIP}"]
    assert f"qdash-executor --chip {CHIP}" in diagnosis(outcome, f"chip {CHIP}")["remedy"]


def test_a_chip_without_a_living_executor(desk: Desk) -> None:
    desk.submit()
    desk.executor.stopped()
    found = diagnosis(desk.run("doctor", "--json"), f"chip {CHIP}")
    assert (found["level"], found["words"]) == ("problem", "no executor is alive; jobs waiting: 1")


def test_an_executor_that_is_not_ready(desk: Desk) -> None:
    desk.executor.seen("Prefect does not answer")
    found = diagnosis(desk.run("doctor", "--json"), f"chip {CHIP}")
    assert "Prefect does not answer" in found["words"]
    assert found["level"] == "problem"


def test_flows_that_an_executor_cannot_offer(desk: Desk) -> None:
    """Told also when another executor of the chip has nothing to report."""
    other = desk.world.ready(CHIP, "two")
    desk.executor.seen("ready; not offered (1): scan.py, line 3: cannot be imported: SyntaxError")
    outcome = desk.run("doctor", "--json")
    assert problems(outcome) == [f"flows of {CHIP}"]
    assert diagnosis(outcome, f"flows of {CHIP}")["words"].startswith("not offered (1): scan.py, line 3: ")
    other.stopped()
    outcome = desk.run("doctor", "--json")
    assert problems(outcome) == [f"flows of {CHIP}"]
    assert diagnosis(outcome, f"chip {CHIP}")["words"] == "an executor is ready"
    shown = type_in("chips", environment={"QDASH_QUEUE_DATABASE_URL": desk.roles["operator"].url}).out
    assert "scan.py" in shown


def test_a_paused_chip_is_worth_a_note(desk: Desk) -> None:
    desk.run("pause", CHIP, "--reason", "cooldown")
    outcome = desk.run("doctor", "--json")
    assert outcome.status == 0
    assert diagnosis(outcome, f"chip {CHIP}")["words"] == "paused: cooldown"


def test_prefect_is_down(shared_desk: Desk) -> None:
    outcome = shared_desk.run("doctor", "--json", prefect_api_url=f"http://{CLOSED}/api")
    assert problems(outcome) == ["Prefect"]
    assert "does not answer" in diagnosis(outcome, "Prefect")["words"]


@pytest.mark.parametrize("url", ["http://bob:s3/cr@t@{}/api", "bob:s3/cr@t@{}/api"])
def test_a_password_in_prefects_url_is_not_told(shared_desk: Desk, url: str) -> None:
    outcome = shared_desk.run("doctor", "--json", prefect_api_url=url.format(CLOSED))
    assert problems(outcome) == ["Prefect"]
    assert f"{CLOSED}/api " in diagnosis(outcome, "Prefect")["words"]
    assert "s3" not in outcome.out
    assert "bob" not in outcome.out


@pytest.mark.parametrize("url", ["localhost:4200/api", "ftp://x/api", "http://[/api"])
def test_prefects_url_is_no_url(shared_desk: Desk, url: str) -> None:
    assert problems(shared_desk.run("doctor", "--json", prefect_api_url=url)) == ["Prefect"]


def test_something_else_answers_in_prefects_place(shared_desk: Desk) -> None:
    with other_server() as url:
        outcome = shared_desk.run("doctor", "--json", prefect_api_url=url)
    assert "not as Prefect does" in diagnosis(outcome, "Prefect")["words"]


def test_servers_that_are_not_named_are_worth_a_note(shared_desk: Desk) -> None:
    outcome = shared_desk.run("doctor", "--json")
    assert outcome.status == 0
    assert diagnosis(outcome, "Prefect")["level"] == "note"
    assert "can be started" in diagnosis(outcome, "MongoDB")["words"]


def test_mongod_is_missing(shared_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "distribution", nothing)
    monkeypatch.setenv("PATH", "/nowhere")
    found = diagnosis(shared_desk.run("doctor", "--json"), "MongoDB")
    assert "is not installed" in found["words"]
    assert "QDASH_QUEUE_MONGO_URL" in found["remedy"]


def test_mongodb_is_away(shared_desk: Desk) -> None:
    outcome = shared_desk.run("doctor", "--json", mongo_url=f"mongodb://{CLOSED}")
    assert problems(outcome) == ["MongoDB"]
    assert "MongoDB does not answer" in diagnosis(outcome, "MongoDB")["words"]


@pytest.mark.parametrize(
    "url", ["http://x", "mongodb://[::1/", "mongodb://bob:s3cret@x@db", "mongodb://bob@db:s3cret"]
)
def test_mongodbs_url_is_no_url(shared_desk: Desk, url: str) -> None:
    outcome = shared_desk.run("doctor", "--json", mongo_url=url)
    assert "expected a MongoDB URL" in diagnosis(outcome, "MongoDB")["words"]
    assert "s3cret" not in outcome.out
    assert diagnosis(outcome, "database")["level"] == "ok"


def test_a_certificate_that_cannot_be_read(shared_desk: Desk) -> None:
    outcome = shared_desk.run(
        "doctor", "--json", mongo_url=f"mongodb://{CLOSED}/?tls=true&tlsCAFile=/nowhere.pem"
    )
    assert problems(outcome) == ["MongoDB"]
    assert "certificate file that the MongoDB URL names" in diagnosis(outcome, "MongoDB")["words"]


def test_the_mirror_is_late(desk: Desk) -> None:
    desk.start(desk.submit())
    with desk.database.connect() as connection:
        connection.execute(
            "UPDATE calib_private.outbox"
            " SET marked_at = marked_at - interval '1 hour', last_error = 'no project demo'"
        )
    outcome = desk.run("doctor", "--json")
    assert problems(outcome) == ["mirror"]
    assert "no project demo" in diagnosis(outcome, "mirror")["words"]
    assert "mirror run" in diagnosis(outcome, "mirror")["remedy"]


def test_the_mirrors_own_words_are_told(desk: Desk) -> None:
    assert diagnosis(desk.run("doctor", "--json"), "mirrors")["words"] == "no mirror is alive"
    mirror = MirrorHeartbeat(desk.roles["mirror"].database)
    mirror.report("tag holds doubles")
    outcome = desk.run("doctor", "--json")
    assert problems(outcome) == ["mirrors"]
    assert "is not ready: tag holds doubles" in diagnosis(outcome, "mirrors")["words"]
    mirror.stop()
    assert diagnosis(desk.run("doctor", "--json"), "mirrors")["words"] == "no mirror is alive"


def test_dead_letters_are_told(desk: Desk) -> None:
    desk.start(desk.submit())
    with desk.database.connect() as connection:
        connection.execute("UPDATE calib_private.outbox SET dead_at = now(), last_error = 'too large'")
    outcome = desk.run("doctor", "--json")
    assert problems(outcome) == ["dead letters"]
    assert "too large" in diagnosis(outcome, "dead letters")["words"]
    assert "mirror retry" in diagnosis(outcome, "dead letters")["remedy"]
