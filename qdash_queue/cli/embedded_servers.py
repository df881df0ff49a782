"""The embedded servers as a place to work in: which are wanted, and the variables that name them."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping

import psycopg
from psycopg import sql

from qdash_queue.embedded.servers import EmbeddedServers, Kind
from qdash_queue.settings import Settings

DATABASE = "qdash_queue"


def wanted_kinds(settings: Settings) -> frozenset[Kind]:
    """The servers for which the settings name no real one."""
    named = {
        Kind.POSTGRES: settings.database_url,
        Kind.MONGO: settings.mongo_url,
        Kind.PREFECT: settings.prefect_api_url,
    }
    return frozenset(kind for kind, url in named.items() if not url)


def make_database(maintenance_url: str, name: str) -> None:
    """Make the database if it is not there yet."""
    with psycopg.connect(maintenance_url, autocommit=True) as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if found is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def environment_of(settings: Settings, servers: EmbeddedServers, kinds: Collection[Kind]) -> dict[str, str]:
    """The variables under which every command finds the servers."""
    database = servers.postgres.url_of(DATABASE) if Kind.POSTGRES in kinds else settings.database_url
    return {
        "QDASH_QUEUE_DATABASE_URL": database,
        "QDASH_QUEUE_MONGO_URL": servers.mongo.url if Kind.MONGO in kinds else settings.mongo_url,
        "QDASH_QUEUE_PREFECT_API_URL": (
            servers.prefect.url if Kind.PREFECT in kinds else settings.prefect_api_url
        ),
    }


def exports(environment: Mapping[str, str]) -> str:
    """Lines for a shell that set the variables."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items())


def psql_line(servers: EmbeddedServers, url: str) -> str:
    """How to open the embedded database with the client that belongs to it."""
    return f"{shlex.quote(str(servers.postgres.psql))} {shlex.quote(url)}"
