"""Prefect's embedded server: healthy, closed to the caller's own Prefect settings, quick the second time."""

from __future__ import annotations

import json
import sqlite3
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from qdash_queue.embedded.prefect_server import PrefectServer, default_cache, prefect_version


@pytest.mark.slow
def test_starts_from_the_template_and_ignores_the_callers_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "postgresql+asyncpg://nobody@203.0.113.1/real")
    with PrefectServer(tmp_path / "home") as server:
        assert (default_cache() / f"prefect-{prefect_version()}.db").exists()
        with urllib.request.urlopen(f"{server.url}/admin/version") as answer:
            assert json.load(answer) == prefect_version()
        with urllib.request.urlopen(f"{server.ui_url}/ui-settings") as answer:
            assert json.load(answer)["api_url"] == server.url
        assert server.client_environment["PREFECT_API_URL"] == server.url
    assert (tmp_path / "home" / "prefect.db").exists()


def test_broken_template_is_thrown_away_and_a_whole_one_is_copied(tmp_path: Path) -> None:
    server = PrefectServer(tmp_path / "home", cache=tmp_path)
    server._home = tmp_path / "home"
    server._home.mkdir()
    template = tmp_path / f"prefect-{prefect_version()}.db"
    assert not server._copy_template()
    template.write_bytes(b"this is no database, but it has the template's name" * 100)
    assert not server._copy_template()
    assert not template.exists()
    with closing(sqlite3.connect(template)) as database:
        database.execute("CREATE TABLE alembic_version AS SELECT 'newest' AS version_num")
        database.commit()
    assert server._copy_template()
    assert server._database.read_bytes() == template.read_bytes()
