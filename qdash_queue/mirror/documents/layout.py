"""Where QDash expects an execution's files.

``<base>/<username>/<YYYYMMDD>/<NNN>/fig`` and ``…/raw_data``. The queue's execution ids are
``YYYYMMDD-qNNN``, so the last folder is ``qNNN`` and never one of QDash's own. MongoDB holds the path as
QDash's API process sees it, the mirror writes below its own base: both are made from one relative path.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict

from qdash_queue.client.models import Job, TaskRun
from qdash_queue.domain import TaskType
from qdash_queue.mirror.read.rows import FigureRow, RawDataRow

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_EXECUTION_ID = re.compile(r"(?P<day>\d{8})-(?P<folder>[A-Za-z0-9]+)")


def path_part(word: str) -> str:
    """The word with everything replaced that could leave its folder or trouble a shell."""
    safe = _UNSAFE.sub("_", word)
    return safe if safe.strip(".") else f"_{safe}"


def execution_day(execution_id: str) -> str:
    """The day ``YYYYMMDD``, in the queue's time zone, on which the execution began."""
    return _split(execution_id)[0]


def execution_folder(username: str, execution_id: str) -> PurePosixPath:
    """The execution's folder, relative to the base."""
    day, folder = _split(execution_id)
    return PurePosixPath(path_part(username), day, folder)


def _split(execution_id: str) -> tuple[str, str]:
    match = _EXECUTION_ID.fullmatch(execution_id)
    if match is None:
        raise ValueError(f'expected an execution id like "20260131-q001", got "{execution_id}"')
    return match["day"], match["folder"]


def task_stem(task_run: TaskRun) -> str:
    """What the names of a task run's files begin with, e.g. ``CheckT1_0``.

    A repetition or a later attempt is named in it: they share the folder with the first.
    """
    parts = [path_part(task_run.task)]
    if task_run.task_type in (TaskType.QUBIT, TaskType.COUPLING):
        parts.append(path_part(task_run.qid))
    elif task_run.task_type is TaskType.MUX:
        parts.append(f"mux{path_part(task_run.qid)}")
    if task_run.attempt > 1:
        parts.append(f"attempt{task_run.attempt}")
    if task_run.repetition > 0:
        parts.append(f"repetition{task_run.repetition}")
    return "_".join(parts)


class Layout(BaseModel):
    """The two views of one tree of files: the mirror's and QDash's."""

    model_config = ConfigDict(frozen=True)

    base: Path
    base_in_qdash: PurePosixPath

    def on_disk(self, relative: PurePosixPath) -> Path:
        """Where the mirror writes the file."""
        return self.base.joinpath(*relative.parts)

    def in_qdash(self, relative: PurePosixPath) -> str:
        """The path that MongoDB holds."""
        return str(self.base_in_qdash / relative)

    def execution_path(self, job: Job) -> str:
        """QDash's ``calib_data_path`` of the job."""
        if job.execution_id is None:
            raise ValueError(f"job {job.job_id} never started: it has no execution id and no folder")
        return self.in_qdash(execution_folder(job.username, job.execution_id))


class TaskFiles(BaseModel):
    """The relative paths of one task run's files, by the ids of the rows that hold their content."""

    model_config = ConfigDict(frozen=True)

    png: dict[int, PurePosixPath]
    json_figures: dict[int, PurePosixPath]
    raw_data: dict[int, PurePosixPath]


def task_files(
    job: Job, task_run: TaskRun, figures: list[FigureRow], raw_data: list[RawDataRow]
) -> TaskFiles:
    """The paths of a task run's files, rendered figures first.

    QDash shows the n-th PNG with the n-th JSON, so a figure without a PNG stands behind all with one.
    """
    if job.execution_id is None:
        return TaskFiles(png={}, json_figures={}, raw_data={})
    folder = execution_folder(job.username, job.execution_id)
    stem = task_stem(task_run)
    rendered_first = sorted(figures, key=lambda figure: (not figure.has_png, figure.ordinal))
    return TaskFiles(
        png={f.figure_id: folder / "fig" / f"{stem}_{f.ordinal}.png" for f in rendered_first if f.has_png},
        json_figures={f.figure_id: folder / "fig" / f"{stem}_{f.ordinal}.json" for f in rendered_first},
        raw_data={
            array.raw_data_id: folder / "raw_data" / f"{stem}_raw_{array.ordinal}.csv" for array in raw_data
        },
    )
