"""A database that is away for one role, as it is while PostgreSQL restarts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from tests.engine.lab import Lab
from tests.support.waiting import until

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY (%s)"
LEFT = "SELECT count(*) FROM pg_stat_activity WHERE usename = ANY (%s)"


class _Until(logging.Handler):
    """Ends the outage by the first record that says ``words``."""

    def __init__(self, words: str, end: sql.Composed, url: str) -> None:
        super().__init__()
        self._words = words
        self._end = end
        self._url = url

    def emit(self, record: logging.LogRecord) -> None:
        if self._words in record.getMessage():
            with psycopg.connect(self._url, autocommit=True) as admin:
                admin.execute(self._end)


@contextmanager
def outage(lab: Lab, until_logged: str) -> Iterator[None]:
    """Cut the laboratory's connections and take no new ones, until ``executors`` logs these words."""
    logins = [lab.role, lab.notebook.name]
    login = sql.SQL("; ").join(sql.SQL("ALTER ROLE {} LOGIN").format(sql.Identifier(name)) for name in logins)
    handler = _Until(until_logged, login, lab.admin_url)
    logger = logging.getLogger("executors")
    logger.addHandler(handler)
    with psycopg.connect(lab.admin_url, autocommit=True) as admin:
        try:
            for name in logins:
                admin.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(name)))
            admin.execute(CUT, [logins])
            until(lambda: admin.execute(LEFT, [logins]).fetchone() == (0,))
            yield
        finally:
            logger.removeHandler(handler)
            admin.execute(login)
