"""Writes figures and raw data where QDash reads them, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from qdash_queue.mirror.documents.layout import Layout

_READABLE_FILE = 0o644
_READABLE_FOLDER = 0o755
_FLUSHED_AT_ONCE = 8


class FileTree:
    """The tree of files that QDash's API serves; it runs as another user, so everything is made readable."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def write(self, contents: Mapping[PurePosixPath, bytes]) -> int:
        """Store files; returns how many had to be written, 0 if all were there.

        A reader sees the old file or the new one, never a part: the content goes to a file beside it, is
        flushed to the disk and then takes the name.

        Raises:
            OSError: a folder or file cannot be made or written.
        """
        paths = {self._layout.on_disk(relative): content for relative, content in contents.items()}
        missing = {path: content for path, content in paths.items() if not _holds(path, content)}
        folders = {path.parent for path in missing}
        for folder in folders:
            self._make_folder(folder)
        # Side by side, because a disk flushes many files in little more than the time of one.
        with ThreadPoolExecutor(_FLUSHED_AT_ONCE) as pool:
            for _ in pool.map(_replace, missing.keys(), missing.values()):
                pass
        for folder in folders:
            _remove_leftovers(folder, {path.name for path in missing})
            _flush_folder(folder)
        return len(missing)

    def _make_folder(self, folder: Path) -> None:
        missing = [part for part in (folder, *folder.parents) if not part.exists()]
        for part in reversed(missing):
            part.mkdir(exist_ok=True)
            part.chmod(_READABLE_FOLDER)


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except FileNotFoundError:
        return False


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        _write_flushed(temporary, content)
        _take_name(temporary, path, content)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _remove_leftovers(folder: Path, written: Collection[str]) -> None:
    """Remove what a killed mirror left of the files that were written now."""
    for leftover in folder.glob(".*.part"):
        name = leftover.name.removeprefix(".").removesuffix(".part").rpartition(".")[0]
        if name in written:
            leftover.unlink(missing_ok=True)


def _take_name(temporary: Path, path: Path, content: bytes) -> None:
    try:
        temporary.replace(path)
    except FileNotFoundError:
        # Another mirror has written the same just now, and took this one for a leftover.
        if not _holds(path, content):
            raise


def _write_flushed(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), _READABLE_FILE)
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
