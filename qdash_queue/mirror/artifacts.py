"""Puts a task run's figures and raw data where QDash reads them: as files, and in GridFS by the same path."""

from __future__ import annotations

from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict

from qdash_queue.mirror.documents import TaskArtifacts
from qdash_queue.mirror.files import FileTree
from qdash_queue.mirror.gridfs import GridFSFiles
from qdash_queue.mirror.layout import Layout, task_files
from qdash_queue.mirror.qdash_models import RawDataNote
from qdash_queue.mirror.raw_data import raw_data_csv, raw_data_problem
from qdash_queue.mirror.rows import JobSnapshot
from qdash_queue.mirror.source import Source
from qdash_queue.models import TaskRun

_CONTENT_TYPES = {".png": "image/png", ".json": "application/json", ".csv": "text/csv"}


class _Origin(BaseModel):
    """Whose file it is, kept beside it in GridFS."""

    model_config = ConfigDict(frozen=True)

    project_id: str
    execution_id: str
    task_id: str


def task_artifacts(snapshot: JobSnapshot, task_run: TaskRun, layout: Layout) -> TaskArtifacts:
    """What the task result's document says about its files."""
    figures = snapshot.figures_of(task_run)
    raw_data = snapshot.raw_data_of(task_run)
    problems = {
        array.raw_data_id: raw_data_problem(array.size, array.dtype, array.shape) for array in raw_data
    }
    readable = [array for array in raw_data if problems[array.raw_data_id] is None]
    files = task_files(snapshot.job, task_run, figures, readable)
    return TaskArtifacts(
        files=files,
        figures_not_rendered={
            files.json_figures[figure.figure_id].stem: figure.render_error
            for figure in figures
            if figure.render_error is not None and figure.figure_id in files.json_figures
        },
        raw_data=[
            RawDataNote(
                path=layout.in_qdash(path) if (path := files.raw_data.get(array.raw_data_id)) else "",
                problem=problems[array.raw_data_id] or "",
                name=array.name,
                dtype=array.dtype,
                shape=array.shape,
                unit=array.unit or "",
            )
            for array in raw_data
        ],
    )


class ArtifactWriter:
    """Reads the content from PostgreSQL and stores it in both places."""

    def __init__(self, source: Source, files: FileTree, gridfs: GridFSFiles, layout: Layout) -> None:
        self._source = source
        self._files = files
        self._gridfs = gridfs
        self._layout = layout

    def write(self, snapshot: JobSnapshot, task_run: TaskRun, artifacts: TaskArtifacts) -> None:
        """Store all files of a task run.

        Raises:
            OSError: the folder of the files cannot be written.
        """
        origin = _Origin(
            project_id=snapshot.job.project_id,
            execution_id=snapshot.job.execution_id or "",
            task_id=str(task_run.task_run_id),
        )
        files = artifacts.files
        for figure_id, path in files.json_figures.items():
            plotly, png = self._source.figure(figure_id)
            self._store(path, plotly.encode(), origin)
            if figure_id in files.png and png is not None:
                self._store(files.png[figure_id], png, origin)
        arrays = {array.raw_data_id: array for array in snapshot.raw_data_of(task_run)}
        for raw_data_id, path in files.raw_data.items():
            array = arrays[raw_data_id]
            content = self._source.raw_data(raw_data_id)
            self._store(path, raw_data_csv(content, array.dtype, array.shape), origin)

    def _store(self, path: PurePosixPath, content: bytes, origin: _Origin) -> None:
        self._files.write(path, content)
        metadata = origin.model_dump() | {"content_type": _CONTENT_TYPES[path.suffix]}
        self._gridfs.write(self._layout.in_qdash(path), content, metadata)
