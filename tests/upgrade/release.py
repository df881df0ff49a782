"""A released wheel, and the chip that is set up with it before the upgrade."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

PROJECT = "lab"
USER = "alice"
CHIP = "SIM16"
TOPOLOGY = "square-lattice-mux-16"
QUBITS = 16
TASKS = ("CheckRabi", "CreateHPIPulse", "CheckT1")
FIXTURES = Path(__file__).parent.parent / "fixtures"


def version_of(wheel: Path) -> str:
    """The version in a wheel's name."""
    return wheel.name.split("-")[1]


# The wheel of this very version is for the versions to come.
WHEELS = [
    wheel
    for wheel in sorted(FIXTURES.glob("qdash_queue-*.whl"))
    if version_of(wheel) != version("qdash-queue")
]
_DESIGN = """
import json
from executors.backends.simchip.device import design_parameters
keep = {"value", "error", "unit"}
design = design_parameters(%r, %d)
print(json.dumps({
    qid: {name: value.model_dump(mode="json", include=keep) for name, value in values.items()}
    for qid, values in design.items()
}))
"""


@dataclass(frozen=True)
class Release:
    """A released wheel, unpacked where nothing of the present tree is found."""

    version: str
    folder: Path

    @classmethod
    def unpack(cls, wheel: Path, folder: Path) -> Release:
        """Lay the wheel's content into the folder, as ``pip install --no-deps --target`` does."""
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        return cls(version_of(wheel), folder)

    def environment(self, **settings: str) -> dict[str, str]:
        """What a process of this release is started with; settings by their names, without the prefix."""
        named = {f"QDASH_QUEUE_{name.upper()}": value for name, value in settings.items()}
        return {**os.environ, "PYTHONPATH": str(self.folder), **named}

    def python(self, *arguments: str, **settings: str) -> str:
        """Run Python on this release's code; its standard output."""
        ran = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,  # Python searches there first.
            env=self.environment(**settings),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, f"{arguments} ended with {ran.returncode}: {ran.stderr}"
        return ran.stdout

    def command(self, database_url: str, *words: str) -> Any:
        """Run this release's ``qdash-queue``; the JSON document that it answers."""
        out = self.python("-m", "qdash_queue.cli", *words, "--json", database_url=database_url)
        return json.loads(out)

    def design(self) -> Mapping[str, Any]:
        """The simulated chip's design values, as this release has them."""
        found: dict[str, Any] = json.loads(self.python("-c", _DESIGN % (CHIP, QUBITS)))
        return found
