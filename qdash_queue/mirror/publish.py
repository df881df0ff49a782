"""Brings QDash's documents of one job, or of one chip's parameters, up to the present rows.

The order is: files, task results, parameters and their history, the day's counter, the execution last. QDash
polls and MongoDB has no transactions here: a reader of the execution finds all that it refers to, except for
documents that MongoDB refuses permanently: those are reported and delay nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from qdash_queue.client.models import Parameter
from qdash_queue.mirror.artifacts.artifact_writer import ArtifactWriter, TaskToStore, task_artifacts
from qdash_queue.mirror.documents.build import (
    counter_document,
    execution_document,
    parameter_document,
    tag_documents,
    task_result_document,
)
from qdash_queue.mirror.documents.layout import Layout, execution_day
from qdash_queue.mirror.documents.models import ParameterDocument, TaskResultHistory
from qdash_queue.mirror.read.queue_database import QueueDatabase
from qdash_queue.mirror.read.rows import DayParameters, JobSnapshot, Refusal
from qdash_queue.mirror.write.qdash_lookup import ChipPlace, MissingInQDashError, Place, QDashLookup
from qdash_queue.mirror.write.refusals import DocumentsRefusedError
from qdash_queue.mirror.write.writer import WriteMode, Writer, content_digest

# So many hold their files in memory at the same time.
TASKS_AT_ONCE = 8


class Publisher:
    """Mirrors one subject at a time; safe to repeat, safe beside another publisher.

    Args:
        source: what is mirrored.
        lookup: what QDash made.
        artifacts: writes files.
        writer: writes documents.
        layout: where the files are.
        beat: called from time to time during long work.
    """

    def __init__(
        self,
        source: QueueDatabase,
        lookup: QDashLookup,
        artifacts: ArtifactWriter,
        writer: Writer,
        layout: Layout,
        beat: Callable[[], None],
    ) -> None:
        self._source = source
        self._lookup = lookup
        self._artifacts = artifacts
        self._writer = writer
        self._layout = layout
        self._beat = beat

    def publish_job(self, job_id: int, mode: WriteMode = WriteMode.NEWER_ONLY) -> bool:
        """Mirror a job; returns False where there is nothing to show: it is gone, or it never started.

        Raises:
            MissingInQDashError: QDash lacks something that it has to make; nothing was written.
            DocumentsRefusedError: MongoDB permanently refuses some documents; all others are written.
        """
        owner = self._source.job_owner(job_id)
        if owner is None:
            return False
        # Before anything large is read: a job that waits for QDash is tried every few minutes, for weeks.
        place = self._lookup.place_of(owner.project_id, owner.chip_id, owner.username)
        snapshot = self._source.job_snapshot(job_id)
        if snapshot is None or snapshot.job.execution_id is None:
            return False
        job, execution_id = snapshot.job, snapshot.job.execution_id
        history = self._source.job_history(job.chip_id, job_id)
        place = self._lookup.with_targets(place, snapshot.qids | {of_day.qid for of_day in history})
        refusals = [
            *self._publish_task_results(snapshot, place, mode),
            *self._publish_parameters(place, snapshot.parameters, history),
            *self._writer.write_counter(counter_document(job, place.user_id, execution_day(execution_id))),
            *self._writer.write_tags(tag_documents(job, place.user_id)),
            *self._writer.write_execution(
                execution_document(job, place.user_id, self._layout, snapshot.stages), mode
            ),
        ]
        if refusals:
            raise DocumentsRefusedError(refusals)
        if mode is WriteMode.REBUILD and not snapshot.is_final:
            # A mirror beside this one may have written newer rows meanwhile, and these went over them.
            return self.publish_job(job_id)
        return True

    def publish_chip(self, chip_id: str, mark_id: int) -> bool:
        """Mirror a chip's parameters into every project in which QDash has the chip.

        All that is in force, and the days that were changed by hand since the mark, or ever if there is none:
        a project that got the chip later has its earlier days from a rebuild.

        Raises:
            MissingInQDashError: QDash has the chip nowhere, or not all of it.
            DocumentsRefusedError: MongoDB permanently refuses some documents; all others are written.
        """
        snapshot = self._source.chip_snapshot(chip_id)
        if snapshot is None or not snapshot.parameters:
            return False
        projects = self._lookup.projects_with_chip(chip_id, snapshot.projects)
        if not projects:
            raise MissingInQDashError(
                f'QDash has no chip "{chip_id}" in any project of the queue: make it there (POST /chips)'
            )
        history = self._source.chip_history(chip_id, mark_id)
        refusals: list[Refusal] = []
        for project_id in projects:
            place = self._lookup.chip_place(project_id, chip_id, snapshot.qids)
            refusals += self._publish_parameters(place, snapshot.parameters, history)
        if refusals:
            raise DocumentsRefusedError(refusals)
        return True

    def _publish_task_results(self, snapshot: JobSnapshot, place: Place, mode: WriteMode) -> list[Refusal]:
        job = snapshot.job
        stored = self._writer.stored_digests(
            job.project_id, [str(task_run.task_run_id) for task_run in snapshot.task_runs]
        )
        changed: list[TaskResultHistory] = []
        unchanged: list[TaskResultHistory] = []
        to_store: list[TaskToStore] = []
        for task_run in snapshot.task_runs:
            artifacts = task_artifacts(snapshot, task_run, self._layout)
            document = task_result_document(job, task_run, artifacts, place.user_id, self._layout)
            if mode is WriteMode.NEWER_ONLY and stored.get(document.task_id) == {content_digest(document)}:
                unchanged.append(document)
            else:
                changed.append(document)
                to_store.append(TaskToStore(task_run, artifacts))
        refused = self._store(snapshot, to_store)
        # A result whose files are refused is held back: the next try shall store them.
        complete = [document for document in changed if document.task_id not in refused]
        return [
            *(each for refusals in refused.values() for each in refusals),
            *self._writer.write_task_results(complete, unchanged, stored, place, mode),
        ]

    def _store(self, snapshot: JobSnapshot, tasks: Iterable[TaskToStore]) -> dict[str, list[Refusal]]:
        refused: dict[str, list[Refusal]] = {}
        for batch in _batches(tasks):
            self._beat()
            for task_run_id, refusals in self._artifacts.write(snapshot, batch).items():
                refused[str(task_run_id)] = refusals
        return refused

    def _publish_parameters(
        self, place: ChipPlace, parameters: Iterable[Parameter], history: Iterable[DayParameters]
    ) -> list[Refusal]:
        by_target: dict[str, list[Parameter]] = {}
        for parameter in parameters:
            by_target.setdefault(parameter.qid, []).append(parameter)
        values = [(place.targets[qid], _named(rows)) for qid, rows in by_target.items()]
        days = [
            (place.targets[of_day.qid], of_day.day, _named(of_day.parameters))
            for of_day in history
            if of_day.parameters
        ]
        return self._writer.merge_parameters(place, values) + self._writer.merge_history(place, days)


def _batches(tasks: Iterable[TaskToStore]) -> Iterator[list[TaskToStore]]:
    remaining = iter(tasks)
    while batch := list(islice(remaining, TASKS_AT_ONCE)):
        yield batch


def _named(parameters: Iterable[Parameter]) -> dict[str, ParameterDocument]:
    return {parameter.name: parameter_document(parameter) for parameter in parameters}
