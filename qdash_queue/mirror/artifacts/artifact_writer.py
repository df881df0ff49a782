"""Puts a task run's figures and raw data where QDash reads them: as files, and in GridFS by the same path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple
from uuid import UUID

from qdash_queue.client.models import TaskRun
from qdash_queue.mirror.artifacts.csv_files import raw_data_csv, raw_data_problem
from qdash_queue.mirror.artifacts.files import FileTree
from qdash_queue.mirror.artifacts.gridfs import FileOrigin, GridFSFiles, StoredFile
from qdash_queue.mirror.documents.build import TaskArtifacts
from qdash_queue.mirror.documents.layout import Layout, task_files
from qdash_queue.mirror.documents.models import RawDataNote
from qdash_queue.mirror.read.queue_database import QueueDatabase
from qdash_queue.mirror.read.rows import JobSnapshot, Refusal

_CONTENT_TYPES = {".png": "image/png", ".json": "application/json", ".csv": "text/csv"}


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


class TaskToStore(NamedTuple):
    """A task run whose files are to be stored."""

    task_run: TaskRun
    artifacts: TaskArtifacts


class ArtifactWriter:
    """Reads the content from PostgreSQL and stores it in both places."""

    def __init__(self, source: QueueDatabase, files: FileTree, gridfs: GridFSFiles, layout: Layout) -> None:
        self._source = source
        self._files = files
        self._gridfs = gridfs
        self._layout = layout

    def write(self, snapshot: JobSnapshot, tasks: Sequence[TaskToStore]) -> dict[UUID, list[Refusal]]:
        """Store all files of task runs; returns what MongoDB permanently refuses, by task run.

        Raises:
            OSError: the folder of the files cannot be written.
        """
        files = self._stored_files(snapshot, tasks)
        if not files:
            return {}
        self._files.write({path: file.content for path, file in files.items()})
        refusals = self._gridfs.write(list(files.values()))
        if not refusals:
            return {}
        if len(tasks) == 1:
            return {tasks[0].task_run.task_run_id: refusals}
        # One by one, to learn whose they are.
        return {key: value for task in tasks for key, value in self.write(snapshot, [task]).items()}

    def _stored_files(
        self, snapshot: JobSnapshot, tasks: Sequence[TaskToStore]
    ) -> dict[PurePosixPath, StoredFile]:
        figures = self._source.figures([i for task in tasks for i in task.artifacts.files.json_figures])
        raw_data = self._source.raw_data([i for task in tasks for i in task.artifacts.files.raw_data])
        arrays = {array.raw_data_id: array for array in snapshot.raw_data}
        stored: dict[PurePosixPath, StoredFile] = {}
        for task_run, artifacts in tasks:
            origin = FileOrigin(
                project_id=snapshot.job.project_id,
                execution_id=snapshot.job.execution_id or "",
                task_id=str(task_run.task_run_id),
            )
            for figure_id, path in artifacts.files.json_figures.items():
                stored[path] = self._stored_file(path, figures[figure_id].plotly.encode(), origin)
            for figure_id, path in artifacts.files.png.items():
                if (png := figures[figure_id].png) is not None:
                    stored[path] = self._stored_file(path, png, origin)
            for raw_data_id, path in artifacts.files.raw_data.items():
                array = arrays[raw_data_id]
                csv = raw_data_csv(raw_data[raw_data_id], array.dtype, array.shape)
                stored[path] = self._stored_file(path, csv, origin)
        return stored

    def _stored_file(self, path: PurePosixPath, content: bytes, origin: FileOrigin) -> StoredFile:
        return StoredFile(self._layout.in_qdash(path), content, _CONTENT_TYPES[path.suffix], origin)
