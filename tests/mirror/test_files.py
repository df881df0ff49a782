"""Files and GridFS: whole or not at all, once however often."""

from __future__ import annotations

import stat
import struct
from pathlib import Path, PurePosixPath

import pytest
from gridfs import GridFSBucket

from qdash_queue.mirror.artifacts.csv_files import raw_data_csv
from qdash_queue.mirror.artifacts.files import FileTree
from qdash_queue.mirror.artifacts.gridfs import CHUNK_SIZE, FileOrigin, GridFSFiles, StoredFile
from qdash_queue.mirror.documents.layout import Layout
from qdash_queue.mirror.write.indexes import ensure_indexes
from qdash_queue.mirror.write.qdash_lookup import QDashDatabase

NAME = PurePosixPath("alice/20260201/q007/fig/CheckT1_0_0.png")


def test_writes_once_and_leaves_nothing_else(layout: Layout) -> None:
    tree = FileTree(layout)
    assert tree.write({NAME: b"one"})
    written = layout.on_disk(NAME)
    before = written.stat()
    assert not tree.write({NAME: b"one"})
    assert written.stat().st_ino == before.st_ino
    assert tree.write({NAME: b"two"})
    assert written.read_bytes() == b"two"
    assert [path.name for path in written.parent.iterdir()] == [written.name]


def test_removes_what_a_killed_mirror_left(layout: Layout) -> None:
    tree = FileTree(layout)
    tree.write({NAME: b"one"})
    written = layout.on_disk(NAME)
    leftover, of_another = (
        written.with_name(f".{name}.77.part") for name in (written.name, "CheckT1_1_0.png")
    )
    leftover.write_bytes(b"tw")
    of_another.write_bytes(b"on")
    tree.write({NAME: b"two"})
    assert not leftover.exists()
    assert of_another.exists()


def test_files_are_readable_for_all_users(layout: Layout) -> None:
    FileTree(layout).write({NAME: b"one"})
    path = layout.on_disk(NAME)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    while path != layout.base:
        path = path.parent
        assert stat.S_IMODE(path.stat().st_mode) == 0o755


def test_failed_write_leaves_the_old_file(layout: Layout) -> None:
    tree = FileTree(layout)
    tree.write({NAME: b"one"})
    with pytest.raises(TypeError):
        tree.write({NAME: "no bytes"})  # type: ignore[dict-item]
    folder = layout.on_disk(NAME).parent
    assert [path.read_bytes() for path in folder.iterdir()] == [b"one"]


def test_path_in_qdash_is_qdashs(tmp_path: Path) -> None:
    layout = Layout(base=tmp_path, base_in_qdash=PurePosixPath("/app/calib_data"))
    assert layout.in_qdash(NAME) == "/app/calib_data/alice/20260201/q007/fig/CheckT1_0_0.png"


@pytest.mark.parametrize(
    ("dtype", "shape", "form", "lines"),
    [
        ("float64", (3,), "<3d", ["0.0", "1.0", "2.0"]),
        ("complex128", (2,), "<4d", ["0.0,1.0", "2.0,3.0"]),
        ("int32", (2, 3), "<6i", ["0,1,2", "3,4,5"]),
        ("complex64", (2, 2), "<8f", ["0.0,1.0,2.0,3.0", "4.0,5.0,6.0,7.0"]),
        ("<c16", (2,), "<4d", ["0.0,1.0", "2.0,3.0"]),
        ("<f8", (2,), "<2d", ["0.0", "1.0"]),
        ("<f2", (2,), "<2e", ["0.0", "1.0"]),
        ("|b1", (2,), "<2B", ["0", "1"]),
        ("float64", (), "<1d", ["0.0"]),
        ("float64", (0,), "<0d", []),
        ("float64", (2, 0), "<0d", []),
    ],
)
def test_raw_data_become_csv(dtype: str, shape: tuple[int, ...], form: str, lines: list[str]) -> None:
    count = struct.calcsize(form) // struct.calcsize(f"<{form[-1]}")
    assert raw_data_csv(struct.pack(form, *range(count)), dtype, shape).decode().splitlines() == lines


def test_raw_data_that_do_not_fit_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match="expected 24 bytes for float64"):
        raw_data_csv(b"12345678", "float64", (3,))
    with pytest.raises(ValueError, match='got "object"'):
        raw_data_csv(b"", "object", (0,))


CONTENT = bytes(range(256)) * 3000
ORIGIN = FileOrigin(project_id="demo", execution_id="20260201-q007", task_id="x")


def store(files: GridFSFiles, content: bytes, origin: FileOrigin = ORIGIN) -> None:
    assert files.write([StoredFile("/a.png", content, "image/png", origin)]) == []


def test_gridfs_is_readable_by_any_client(empty_qdash: QDashDatabase) -> None:
    ensure_indexes(empty_qdash)
    files = GridFSFiles(empty_qdash)
    assert len(CONTENT) > 2 * CHUNK_SIZE
    store(files, CONTENT)
    uploaded = empty_qdash["fs.files"].distinct("uploadDate")
    store(files, CONTENT)
    stream = GridFSBucket(empty_qdash).open_download_stream_by_name("/a.png")
    assert stream.read() == CONTENT
    assert stream.metadata == ORIGIN.model_dump() | {"content_type": "image/png"}
    assert empty_qdash["fs.files"].distinct("uploadDate") == uploaded


def test_gridfs_keeps_one_file_of_a_name(empty_qdash: QDashDatabase) -> None:
    files = GridFSFiles(empty_qdash)
    for content in (CONTENT, b"new", b"", b"new"):
        store(files, content)
    assert GridFSBucket(empty_qdash).open_download_stream_by_name("/a.png").read() == b"new"
    assert empty_qdash["fs.files"].count_documents({}) == 1
    assert empty_qdash["fs.chunks"].count_documents({}) == 1


def test_gridfs_leaves_others_files_of_the_name(empty_qdash: QDashDatabase) -> None:
    theirs = GridFSBucket(empty_qdash).upload_from_stream("/a.png", b"theirs")
    files = GridFSFiles(empty_qdash)
    for content in (b"old", b"new"):
        store(files, content)
    assert GridFSBucket(empty_qdash).open_download_stream(theirs).read() == b"theirs"
    assert GridFSBucket(empty_qdash).open_download_stream_by_name("/a.png").read() == b"new"
    assert empty_qdash["fs.files"].count_documents({}) == 2


def test_gridfs_goes_on_where_it_was_cut_off(empty_qdash: QDashDatabase) -> None:
    ensure_indexes(empty_qdash)
    files = GridFSFiles(empty_qdash)
    store(files, CONTENT)
    empty_qdash["fs.files"].delete_many({})
    empty_qdash["fs.chunks"].delete_many({"n": {"$gt": 0}})
    store(files, CONTENT)
    assert GridFSBucket(empty_qdash).open_download_stream_by_name("/a.png").read() == CONTENT
