"""What was released is never edited: a later change of the tables is a revision of its own."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from qdash_queue.migrate import OLDEST_RELEASE, script_location

FIXTURES = Path(__file__).parent.parent / "fixtures"
# The revisions up to that of the oldest release are one baseline since.
WHEELS = [
    wheel for wheel in sorted(FIXTURES.glob("qdash_queue-*.whl")) if f"-{OLDEST_RELEASE}-" not in wheel.name
]


@pytest.mark.parametrize("wheel", WHEELS, ids=lambda wheel: wheel.name)
def test_released_revisions_are_unchanged(wheel: Path) -> None:
    root = script_location()
    prefix = "qdash_queue/_migrations/versions/"
    with zipfile.ZipFile(wheel) as released:
        names = [name.removeprefix(prefix) for name in released.namelist() if name.startswith(prefix)]
        assert any(name.endswith(".sql") for name in names)
        changed = [
            name
            for name in names
            if (root / "versions" / name).read_bytes() != released.read(f"{prefix}{name}")
        ]
    assert not changed, f"released and edited since: {', '.join(changed)}; write a new revision instead"
