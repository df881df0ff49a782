"""What was released is never edited: a later change of the schema is a revision of its own."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from qdash_queue.migrate import script_location

FIXTURES = Path(__file__).parent.parent / "fixtures"
WHEELS = sorted(FIXTURES.glob("qdash_queue-*.whl"))


def test_a_released_wheel_is_kept() -> None:
    assert "qdash_queue-0.1.0-py3-none-any.whl" in [wheel.name for wheel in WHEELS]


@pytest.mark.parametrize("wheel", WHEELS, ids=lambda wheel: wheel.name)
def test_released_revisions_are_unchanged(wheel: Path) -> None:
    root = script_location()
    prefix = "qdash_queue/_migrations/"
    with zipfile.ZipFile(wheel) as released:
        names = [
            name.removeprefix(prefix)
            for name in released.namelist()
            if name.startswith((f"{prefix}sql/0", f"{prefix}versions/0"))
        ]
        assert any(name.endswith(".sql") for name in names)
        changed = [name for name in names if (root / name).read_bytes() != released.read(f"{prefix}{name}")]
    assert not changed, f"released and edited since: {', '.join(changed)}; write a new revision instead"
