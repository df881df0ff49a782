"""A database that is unreachable for one role, as while PostgreSQL restarts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from tests.engine.world import World
from tests.support.waiting import until

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY (%s)"
LEFT = "SELECT count(*) FROM pg_stat_activity WHERE usename = ANY (%s)"


class _Until(logging.Handler):
    """Ends the outage at the first log record with ``text``."""

    def __init__(self, text: str, end: sql.Composed, url: str) -> None:
        super().__init__()
        self._text = text
        self._end = end
        self._url = url

    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            with psycopg.connect(self._url, autocommit=True) as admin:
                admin.execute(self._end)


@contextmanager
def outage(world: World, until_logged: str) -> Iterator[None]:
    """Cut the world's connections and refuse new ones, until ``executors`` logs this text."""
    logins = [world.role, world.notebook.name]
    login = sql.SQL("; ").join(sql.SQL("ALTER ROLE {} LOGIN").format(sql.Identifier(name)) for name in logins)
    handler = _Until(until_logged, login, world.admin_url)
    logger = logging.getLogger("executors")
    logger.addHandler(handler)
    with psycopg.connect(world.admin_url, autocommit=True) as admin:
        try:
            for name in logins:
                admin.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(name)))
            admin.execute(CUT, [logins])
            until(lambda: admin.execute(LEFT, [logins]).fetchone() == (0,))
            yield
        finally:
            logger.removeHandler(handler)
            admin.execute(login)
