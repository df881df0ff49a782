"""On what figures were taken, and many figures said as one."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TypeVar

import psycopg

from qdash_queue import migrate

T = TypeVar("T")
SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_connections")
PATIENCE_SECONDS = 600.0
"""On the busiest machine, only what never comes takes them."""


@dataclass(frozen=True)
class Spread:
    """Figures of one kind: their median, the lowest and the highest."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def percentile(self, percent: int) -> float:
        """Nearest rank; of few values the highest stands for the rare one."""
        ordered = sorted(self.values)
        return ordered[min(len(ordered) - 1, percent * len(ordered) // 100)]

    def __str__(self) -> str:
        return f"{short(self.median)} ({short(min(self.values))} to {short(max(self.values))})"


def short(value: float) -> str:
    """Three digits that count."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


class Deadline:
    """Bounds a loop in seconds."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    @property
    def has_passed(self) -> bool:
        return time.monotonic() >= self._at


def until(ask: Callable[[], T | None], what: str) -> T:
    """The first answer that is neither None nor false."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {PATIENCE_SECONDS:g} s in vain for {what}")
        time.sleep(0.005)
    return answer


def migrate_and_grant(database_url: str) -> None:
    """Bring the schema, and grant every right to the superuser who plays all parts in a benchmark."""
    migrate.upgrade(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("GRANT calib_admin, calib_executor, calib_mirror TO CURRENT_USER")


def print_conditions(database_url: str, *packages: str) -> None:
    """The machine, the server with its durability, and the versions of what is compared."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {load}, Python {platform.python_version()}")
    with psycopg.connect(database_url) as connection:
        version = connection.execute("SELECT current_setting('server_version')").fetchone()
        settings = connection.execute(
            "SELECT string_agg(name || ' ' || current_setting(name), ', ' ORDER BY n)"
            " FROM unnest(%s::text[]) WITH ORDINALITY AS s (name, n)",
            [list(SETTINGS)],
        ).fetchone()
    assert version is not None
    assert settings is not None
    print(f"PostgreSQL {version[0]}: {settings[0]}")
    if packages:
        print(", ".join(f"{name} {metadata.version(name)}" for name in packages))
