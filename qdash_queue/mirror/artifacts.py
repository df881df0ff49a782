"""Puts a task run's figures and raw data where QDash reads them: as files, and in GridFS by the same path."""

from __future__ import annotations

from pathlib import PurePosixPath

from qdash_queue.mirror.documents import TaskArtifacts
from qdash_queue.mirror.files import FileTree
from qdash_queue.mirror.gridfs import FileOrigin, GridFSFiles
from qdash_queue.mirror.layout import Layout, task_files
from qdash_queue.mirror.qdash_models import RawDataNote
from qdash_queue.mirror.raw_data import raw_data_csv, raw_data_problem
from qdash_queue.mirror.refusals import Refusal
from qdash_queue.mirror.rows import JobSnapshot
from qdash_queue.mirror.source import Source
from qdash_queue.models import TaskRun

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


class ArtifactWriter:
    """Reads the content from PostgreSQL and stores it in both places."""

    def __init__(self, source: Source, files: FileTree, gridfs: GridFSFiles, layout: Layout) -> None:
        self._source = source
        self._files = files
        self._gridfs = gridfs
        self._layout = layout

    def write(self, snapshot: JobSnapshot, task_run: TaskRun, artifacts: TaskArtifacts) -> list[Refusal]:
        """Store all files of a task run; returns what MongoDB refuses of them for good.

        Raises:
            OSError: the folder of the files cannot be written.
        """
        contents = self._contents(snapshot, task_run, artifacts)
        self._files.write_all(contents)
        origin = FileOrigin(
            project_id=snapshot.job.project_id,
            execution_id=snapshot.job.execution_id or "",
            task_id=str(task_run.task_run_id),
        )
        return self._gridfs.write(
            {self._layout.in_qdash(path): content for path, content in contents.items()},
            {self._layout.in_qdash(path): _CONTENT_TYPES[path.suffix] for path in contents},
            origin,
        )

    def _contents(
        self, snapshot: JobSnapshot, task_run: TaskRun, artifacts: TaskArtifacts
    ) -> dict[PurePosixPath, bytes]:
        files = artifacts.files
        contents: dict[PurePosixPath, bytes] = {}
        if files.json_figures:
            for figure_id, (plotly, png) in self._source.figures(list(files.json_figures)).items():
                contents[files.json_figures[figure_id]] = plotly.encode()
                if figure_id in files.png and png is not None:
                    contents[files.png[figure_id]] = png
        arrays = {array.raw_data_id: array for array in snapshot.raw_data_of(task_run)}
        if files.raw_data:
            for raw_data_id, content in self._source.raw_data(list(files.raw_data)).items():
                array = arrays[raw_data_id]
                contents[files.raw_data[raw_data_id]] = raw_data_csv(content, array.dtype, array.shape)
        return contents
