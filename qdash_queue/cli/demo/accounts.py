"""Who is who in the demo: roles, the project, its members, the chip, its design values, QDash's side."""

from __future__ import annotations

import psycopg

from qdash_queue import migrate
from qdash_queue.cli.demo.processes import DemoProcesses
from qdash_queue.cli.demo.report import DemoReport
from qdash_queue.cli.inputs import design_values
from qdash_queue.client.admin import Admin
from qdash_queue.client.database import Database
from qdash_queue.client.parameters import Parameters
from qdash_queue.mirror.connection import connect_mongo, open_qdash
from qdash_queue.mirror.qdash_setup import ChipPlan, QDashSetup

PROJECT = "demo"
CHIP = "SIM16"
TOPOLOGY = "square-lattice-mux-16"
QDASH_DATABASE = "qdash"

ADMIN = "anna_admin"
SUBMITTER = "alice"
OPERATOR = "olga"
EXECUTOR = "sim16_executor"
MIRROR = "mirror"
ROLES = {
    ADMIN: "calib_admin",
    SUBMITTER: "calib_submitter",
    OPERATOR: "calib_operator",
    EXECUTOR: "calib_executor",
    MIRROR: "calib_mirror",
}


def set_up(report: DemoReport, processes: DemoProcesses) -> None:
    """Make everything that a job needs, as its administrator would."""
    report.step("Migrate, and make roles, a project, a chip and its design values")
    revision = migrate.upgrade(processes.owner_url)
    report.say(f"the schema is at revision {revision}")
    with psycopg.connect(processes.owner_url, autocommit=True) as connection:
        for role, group in ROLES.items():
            statement = f"CREATE ROLE {role} LOGIN IN ROLE {group}"
            connection.execute(statement.encode())
            report.say(f"  {statement};")
    _make_project_and_chip(report, processes)
    _import_design(report, processes)
    _set_up_qdash(report, processes)


def _make_project_and_chip(report: DemoReport, processes: DemoProcesses) -> None:
    database = Database(processes.url_of(ADMIN))
    admin = Admin(database)
    try:
        admin.add_project(PROJECT, "what the demo calibrates")
        admin.grant_member(PROJECT, SUBMITTER, SUBMITTER, "submitter")
        admin.grant_member(PROJECT, OPERATOR, OPERATOR, "operator")
        admin.add_chip(CHIP, "fake", TOPOLOGY)
        admin.allow_executor(EXECUTOR, CHIP)
    finally:
        database.close()
    report.say(
        f"project {PROJECT} with {SUBMITTER} (submitter) and {OPERATOR} (operator); "
        f"chip {CHIP}, simulated, {TOPOLOGY}; {EXECUTOR} may serve it"
    )


def _import_design(report: DemoReport, processes: DemoProcesses) -> None:
    database = Database(processes.url_of(OPERATOR))
    try:
        parameters = Parameters(database, CHIP)
        count = parameters.import_values(design_values(), "design values of the simulated chip")
        found = len(parameters.current())
    finally:
        database.close()
    report.check(found == count, f"expected {count} parameters in force, found {found}")
    report.say(f"{count} design values were imported by {OPERATOR} as named parameters")


def _set_up_qdash(report: DemoReport, processes: DemoProcesses) -> None:
    database = Database(processes.url_of(OPERATOR))
    try:
        qids = [
            str(row["qid"])
            for row in database.rows(
                "SELECT qid FROM calib.qubits WHERE chip_id = %(chip_id)s ORDER BY qid::int", chip_id=CHIP
            )
        ]
        edges = [
            (str(row["control"]), str(row["target"]))
            for row in database.rows(
                "SELECT control, target FROM calib.couplings WHERE chip_id = %(chip_id)s ORDER BY qid",
                chip_id=CHIP,
            )
        ]
    finally:
        database.close()
    plan = ChipPlan(chip_id=CHIP, topology_id=TOPOLOGY, qids=qids, edges=edges)
    with connect_mongo(processes.servers.mongo.url) as client:
        setup = QDashSetup(open_qdash(client, QDASH_DATABASE))
        setup.make_indexes()
        setup.make_project(PROJECT, SUBMITTER)
        setup.make_member(PROJECT, OPERATOR, "editor")
        setup.make_chip(PROJECT, SUBMITTER, plan)
    report.say(
        f"MongoDB holds user, project and chip as QDash makes them: {len(qids)} qubits, {len(edges)} edges"
    )
