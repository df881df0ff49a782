"""Real instruments, driven through a real qubex ``Experiment``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from executors.backends.base import BaseBackend


class QubexBackend(BaseBackend):
    """Being written: the interface stands."""

    kind: ClassVar[str] = "qubex"

    def connect(self) -> None: ...

    def get_instance(self) -> Any:
        raise NotImplementedError

    def quiesce(self) -> None: ...

    def close(self) -> None: ...

    @property
    def hardware_seconds(self) -> float:
        return 0.0

    def save_note(self) -> Path:
        raise NotImplementedError
