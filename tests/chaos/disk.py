"""A disk for the mirror's files that can be full: a small file system of its own where one may be mounted."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PAGE = 4096
_SIZE = "512m"
_TRIES = 50


@dataclass(frozen=True)
class Disk:
    """Where the figures are kept.

    Attributes:
        root: the file system's root, or an ordinary folder.
        is_mounted: whether it is a file system of its own.
    """

    root: Path
    is_mounted: bool

    @classmethod
    def make(cls, root: Path) -> Disk:
        """Mount a file system in memory on the new folder ``root``, if that is allowed here."""
        root.mkdir()
        disk = cls(root, is_mounted=_mount("-t", "tmpfs", "-o", f"size={_SIZE},mode=755", "chaos", root))
        (root / "ballast").write_bytes(bytes(_PAGE))  # A file system in memory of size 0 would have no limit.
        disk.data_path.mkdir()
        return disk

    def remove(self) -> None:
        """Unmount it."""
        if self.is_mounted:
            subprocess.run(["umount", "--lazy", self.root], check=True)

    @property
    def data_path(self) -> Path:
        """The mirror's folder."""
        return self.root / "calib_data"

    @property
    def fullness(self) -> str:
        """What it means here that the disk is full."""
        if self.is_mounted:
            return "a file system without a free page (ENOSPC)"
        return "a file in place of the folder (no file system may be mounted here)"

    @contextmanager
    def full(self) -> Iterator[None]:
        """Let every write fail inside the block."""
        if not self.is_mounted:
            with self.refused():
                yield
            return
        self._shrink()
        try:
            yield
        finally:
            _resize(self.root, _SIZE)

    def _shrink(self) -> None:
        for _ in range(_TRIES):
            there = os.statvfs(self.root)
            if _resize(self.root, str((there.f_blocks - there.f_bfree) * there.f_frsize)):
                return
            time.sleep(0.01)  # Something was written in between.
        raise OSError(f"{self.root} could not be made full in {_TRIES} tries")

    @contextmanager
    def refused(self) -> Iterator[None]:
        """Replace the folder by a file, so that every write below it fails, for root too."""
        aside = self.data_path.with_name("calib_data.aside")
        self.data_path.rename(aside)
        self.data_path.touch()
        try:
            yield
        finally:
            self.data_path.unlink()
            aside.rename(self.data_path)


def _resize(root: Path, size: str) -> bool:
    return _mount("-o", f"remount,size={size}", root)


def _mount(*arguments: str | Path) -> bool:
    try:
        return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
