"""Random histories of the queue, each step checked against the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from qdash_queue.client.leases import Executor, Lease
from qdash_queue.client.models import Attempt, ClaimedJob
from qdash_queue.client.records import PlannedTask, TaskRecord
from qdash_queue.domain import CancelMode, Failure, FailureKind, JobState, ParameterModel, TaskStatus
from qdash_queue.errors import (
    AlreadyFinalError,
    CancelNotRevocableError,
    IllegalTransitionError,
    LeaseLostError,
    QueueError,
)
from tests.contract.histories import STEPS
from tests.contract.model import LEASE_SECONDS, TERMINAL, Model, ModelChip, ModelJob
from tests.support.queue_world import QueueWorld, Row

FAILURE = Failure(kind=FailureKind.BAD_FIT, message="no fit")
VALUE = ParameterModel(parameter_name="rabi_frequency", value=12.5, error=0.1, unit="MHz")
DONE = TaskRecord(status=TaskStatus.COMPLETED, output_parameters={"rabi_frequency": VALUE})
# What an event that changes the state makes of it.
NEXT_STATE = {
    "submitted": "scheduled",
    "claimed": "running",
    "requeued": "scheduled",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}


@contextmanager
def refused(kind: type[QueueError], expected: bool) -> Iterator[None]:
    """The block ends in that refusal exactly if it is expected to."""
    if expected:
        with pytest.raises(kind):
            yield
    else:
        yield


class QueueMachine(RuleBasedStateMachine):
    """Two chips, two executors each, any order of verbs."""

    world: ClassVar[QueueWorld]
    happened: ClassVar[Counter[str]]

    @initialize()
    def begin(self) -> None:
        self.model = Model()
        self.start: datetime = self.world.now()
        self.executors: dict[str, list[Executor]] = {}
        for _ in range(2):
            chip_id = self.world.chip()
            self.model.chips[chip_id] = ModelChip()
            self.executors[chip_id] = [self.world.ready(chip_id, name) for name in ("one", "two")]
        self.seen: dict[int, Row] = {}
        self.claims: list[ClaimedJob] = []
        self.replayed: dict[int, str] = {}
        self.replayed_to = 0
        for chip in (0, 1):
            for attempts in (1, 2, 3):
                self._insert(chip, priority=0, attempts=attempts, delay=0, limit=None)

    def _chip(self, index: int) -> str:
        return list(self.model.chips)[index]

    def _job(self, number: int) -> ModelJob:
        jobs = list(self.model.jobs.values())
        return jobs[number % len(jobs)]

    def _recent(self, back: int) -> ClaimedJob:
        """The newest claim for 0, older ones for more: those are mostly zombies."""
        return self.claims[-1 - back % len(self.claims)]

    def _time(self, seconds: float) -> datetime:
        return self.start + timedelta(seconds=seconds)

    @rule(step=STEPS)
    def step(self, step: tuple[str, dict[str, Any]]) -> None:
        name, arguments = step
        if "back" in arguments and not self.claims:
            return
        getattr(self, f"_{name}")(**arguments)

    # ------------------------------------------------------------------ clients

    def _insert(self, chip: int, priority: int, attempts: int, delay: int, limit: int | None) -> None:
        chip_id, now = self._chip(chip), self.model.now
        not_after = None if limit is None else now + limit
        job_id = self.world.submit(
            chip_id,
            flow="repeat",
            parameters={},
            priority=priority,
            max_attempts=attempts,
            not_before=self._time(now + delay),
            not_after=None if not_after is None else self._time(not_after),
        )
        self.model.jobs[job_id] = ModelJob(job_id, chip_id, priority, attempts, now + delay, not_after)

    def _change_priority(self, number: int, priority: int) -> None:
        job = self._job(number)
        if job.priority == priority:
            return
        with refused(IllegalTransitionError, job.state != "scheduled"):
            self.world.ana.queue.edit(job.job_id, priority=priority)
            job.priority = priority

    def _cancel_any(self, number: int, mode: CancelMode) -> None:
        self._cancel(self._job(number), mode)

    def _cancel(self, job: ModelJob, mode: CancelMode) -> None:
        before, answer = job.state, self.model.ask_cancel(job, mode.value)
        self.happened[f"cancel {before} {answer}"] += 1
        kind = AlreadyFinalError if answer == "late" else CancelNotRevocableError
        with refused(kind, answer != "done"):
            assert self.world.ana.queue.cancel(job.job_id, mode).state.value == job.state

    def _requeue(self, number: int) -> None:
        job = self._job(number)
        with refused(IllegalTransitionError, job.state not in TERMINAL):
            new = self.world.ana.queue.requeue(job.job_id)
            self.model.jobs[new.job_id] = ModelJob(
                new.job_id, job.chip, job.priority, job.max_attempts, self.model.now, None
            )

    def _pause_or_resume(self, chip: int, is_paused: bool) -> None:
        chip_id = self._chip(chip)
        queue = self.world.olga.queue
        answer = queue.pause_chip(chip_id, "beam time") if is_paused else queue.resume_chip(chip_id)
        assert answer.paused == is_paused
        self.model.chips[chip_id].is_paused = is_paused

    # ------------------------------------------------------------------ executors

    def _work_through(self, state: str, chip: int) -> None:
        """A job from the claim to its end, or as much of it as others allow."""
        count = len(self.claims)
        self._claim(chip, 0)
        if len(self.claims) > count:
            if state == "cancelled":
                self._cancel(self.model.jobs[self.claims[-1].job_id], CancelMode.NOW)
                self._heartbeat(self.claims[-1])
            self._conclude(self.claims[-1], state)
            self._finish(self.claims[-1])

    def _haunt(self, verb: str) -> None:
        """A verb of a former attempt of a job that runs again."""
        for claimed in reversed(self.claims):
            job = self.model.jobs[claimed.job_id]
            if self.model.holds(claimed.job_id, claimed.fence) and job.attempt < job.max_attempts:
                self._give_back(claimed)
                self._claim(list(self.model.chips).index(job.chip), 1)
            if job.state == "running" and job.fence != claimed.fence:
                self.happened["haunted"] += 1
                self._say(claimed, verb)
                return

    def _act(self, back: int, verb: str) -> None:
        """One verb about a claimed job, by any executor."""
        self._say(self._recent(back), verb)

    def _say(self, claimed: ClaimedJob, verb: str) -> None:
        name, _, word = verb.partition(" ")
        match name:
            case "heartbeat":
                self._heartbeat(claimed)
            case "quiesced":
                self._quiesced(claimed)
            case "record":
                self._record(claimed)
            case "conclude":
                self._conclude(claimed, word)
            case "end":
                self._end(claimed, word)
            case "finish":
                self._finish(claimed)
            case "give_back":
                self._give_back(claimed)
            case "cancel":
                self._cancel(self.model.jobs[claimed.job_id], CancelMode(word))

    def _claim(self, chip: int, which: int) -> None:
        chip_id = self._chip(chip)
        executor = self.executors[chip_id][which]
        expected = self.model.next_job(chip_id)
        lease = self.model.chips[chip_id]
        claimed = executor.claim(LEASE_SECONDS)
        if expected is not None:
            assert claimed is not None
            self.model.claim(expected, executor.executor_id)
            assert (claimed.job_id, claimed.fence, claimed.attempt, claimed.dirty) == (
                expected.job_id,
                lease.fence,
                expected.attempt,
                lease.is_dirty,
            )
            expected.execution_id = expected.execution_id or claimed.execution_id
            assert claimed.execution_id == expected.execution_id
            self.claims.append(claimed)
            self.happened["claimed again" if claimed.attempt > 1 else "claimed"] += 1
        else:
            assert claimed is None

    def _heartbeat(self, claimed: ClaimedJob) -> None:
        job = self.model.jobs[claimed.job_id]
        with refused(LeaseLostError, not self.model.holds(claimed.job_id, claimed.fence)):
            answer = self._lease(claimed).heartbeat(LEASE_SECONDS)
            self.model.chips[job.chip].expires = self.model.now + LEASE_SECONDS
            visible = job.cancel if job.verdict is None else None
            assert (answer.cancel_mode.value if answer else None) == visible
            job.is_seen |= visible is not None
            self.happened["cancel seen" if visible else "heartbeat"] += 1

    def _quiesced(self, claimed: ClaimedJob) -> None:
        with refused(LeaseLostError, not self.model.holds(claimed.job_id, claimed.fence)):
            self._lease(claimed).quiesced()
            self.model.chips[claimed.chip_id].is_dirty = False

    def _record(self, claimed: ClaimedJob) -> None:
        lease = self._lease(claimed)
        task = PlannedTask(task="CheckRabi", qid="0")
        with refused(LeaseLostError, not self.model.holds(claimed.job_id, claimed.fence)):
            runs = {run.attempt: run.status for run in self.world.ana.queue.task_runs(claimed.job_id)}
            with refused(IllegalTransitionError, runs.get(claimed.attempt) == "completed"):
                lease.record_task(lease.start_task(task), DONE)

    def _conclude(self, claimed: ClaimedJob, state: str) -> None:
        job = self.model.jobs[claimed.job_id]
        failure = FAILURE if state == "failed" else None
        if not self.model.holds(claimed.job_id, claimed.fence):
            with pytest.raises(LeaseLostError):
                self._lease(claimed).conclude(JobState(state), failure)
            return
        with refused(IllegalTransitionError, state == "cancelled" and job.cancel is None):
            standing = self._lease(claimed).conclude(JobState(state), failure)
            assert standing.value == self.model.conclude(job, state)

    def _end(self, claimed: ClaimedJob, state: str) -> None:
        """As _conclude and _finish in one; what is not completed goes on."""
        job = self.model.jobs[claimed.job_id]
        failure = FAILURE if state == "failed" else None
        if not self.model.holds(claimed.job_id, claimed.fence):
            with refused(LeaseLostError, not self._ended_by_its_verdict(claimed)):
                assert self._lease(claimed).end(JobState(state), failure).value == job.state
                self.happened["ended twice"] += 1
            return
        with refused(IllegalTransitionError, state == "cancelled" and job.cancel is None):
            standing = self._lease(claimed).end(JobState(state), failure)
            assert standing.value == self.model.conclude(job, state)
            if standing is JobState.COMPLETED:
                self.model.end(job, standing.value)
            self.happened[f"end said {state}, stood {standing.value}"] += 1

    def _finish(self, claimed: ClaimedJob) -> None:
        job = self.model.jobs[claimed.job_id]
        lease = self._lease(claimed)
        if self.model.holds(claimed.job_id, claimed.fence):
            with refused(IllegalTransitionError, job.verdict is None):
                verdict = job.verdict
                assert lease.finish().value == verdict
                assert verdict is not None
                self.model.end(job, verdict)
                self.happened[f"finished {verdict}"] += 1
        elif self._ended_by_its_verdict(claimed):
            assert lease.finish().value == job.state
            self.happened["finished twice"] += 1
        else:
            with pytest.raises(LeaseLostError):
                lease.finish()
            self.happened["zombie refused"] += 1

    def _ended_by_its_verdict(self, claimed: ClaimedJob) -> bool:
        attempt = self._attempt(claimed)
        return attempt.verdict is not None and attempt.outcome == attempt.verdict

    def _attempt(self, claimed: ClaimedJob) -> Attempt:
        return self.world.ana.queue.attempts(claimed.job_id)[claimed.attempt - 1]

    def _give_back(self, claimed: ClaimedJob) -> None:
        job = self.model.jobs[claimed.job_id]
        attempt = self._attempt(claimed)
        is_again = job.attempt == claimed.attempt and attempt.outcome and attempt.failure_kind != "lost"
        with refused(LeaseLostError, not (is_again or self.model.holds(claimed.job_id, claimed.fence))):
            state = self._lease(claimed).give_back("executor stopped")
            if is_again:
                assert state.value == ("scheduled" if attempt.outcome == "requeued" else attempt.outcome)
                self.happened["given back twice"] += 1
            else:
                assert state.value == self.model.end_by_policy(job, "shutdown", is_dirty=False)
                self.happened[f"given back {state.value}"] += 1

    def _wait(self, seconds: int) -> None:
        self.world.advance(seconds)
        self.model.now += seconds

    def _lose(self, back: int) -> None:
        """An executor says nothing for longer than its lease; others may be lost with it."""
        expires = self.model.chips[self._recent(back).chip_id].expires
        if expires >= self.model.now:
            self._wait(int(expires - self.model.now) + 1)
        self._sweep()

    def _sweep(self) -> None:
        swept = next(iter(self.executors.values()))[0].sweep()
        mine = {(job.job_id, job.outcome.value) for job in swept if job.chip_id in self.model.chips}
        assert mine == self.model.sweep()
        self.happened.update(f"swept {outcome}" for _, outcome in mine)

    def _lease(self, claimed: ClaimedJob) -> Lease:
        return self.world.lease(claimed)

    # ------------------------------------------------------------------ what always holds

    @invariant()
    def the_database_agrees(self) -> None:
        if not hasattr(self, "model"):
            return
        rows = self.world.rows(
            "SELECT * FROM calib.jobs WHERE chip_id = ANY (%s) ORDER BY job_id", list(self.model.chips)
        )
        assert {row["job_id"] for row in rows} == set(self.model.jobs)
        for row in rows:
            job = self.model.jobs[row["job_id"]]
            assert (row["state"], row["attempt"], row["priority"], row["cancel_mode"]) == (
                job.state,
                job.attempt,
                job.priority,
                job.cancel,
            )
            assert row["failure_kind"] == (job.failure_kind if job.state == "failed" else None)
            assert (row["cancel_seen_at"] is not None) == job.is_seen
            assert row["attempt"] <= row["max_attempts"]
            self._never_goes_back(row)

    def _never_goes_back(self, row: Row) -> None:
        before = self.seen.get(row["job_id"])
        if before is not None:
            if before["state"] in TERMINAL:
                for name in ("state", "attempt", "finished_at", "execution_id", "failure_kind"):
                    assert row[name] == before[name], name
            if row["state"] != before["state"]:
                assert row["version"] > before["version"]
            assert row["version"] >= before["version"]
            assert before["execution_id"] in (None, row["execution_id"])
        self.seen[row["job_id"]] = row

    @invariant()
    def a_lease_is_free_exactly_if_no_job_runs(self) -> None:
        if not hasattr(self, "model"):
            return
        leases = self.world.rows(
            "SELECT l.*, array(SELECT j.job_id FROM calib_private.jobs j"
            " WHERE j.chip_id = l.chip_id AND j.state = 'running') AS running"
            " FROM calib_private.leases l WHERE l.chip_id = ANY (%s)",
            list(self.model.chips),
        )
        for row in leases:
            chip = self.model.chips[row["chip_id"]]
            assert row["running"] == ([] if row["job_id"] is None else [row["job_id"]])
            assert (row["fence"], row["job_id"], row["executor_id"], row["dirty"]) == (
                chip.fence,
                chip.job_id,
                chip.executor,
                chip.is_dirty,
            )

    @invariant()
    def the_log_replays_to_the_present(self) -> None:
        if not hasattr(self, "model"):
            return
        rows = self.world.rows(
            "SELECT e.* FROM calib_private.job_events e"
            " WHERE e.job_id = ANY (%s) AND e.event_id > %s ORDER BY e.event_id",
            list(self.model.jobs),
            self.replayed_to,
        )
        states = self.replayed
        for row in rows:
            self.replayed_to = row["event_id"]
            if row["new_state"] is not None:
                assert row["old_state"] == states.get(row["job_id"])
                assert row["new_state"] == NEXT_STATE[row["event"]]
                states[row["job_id"]] = row["new_state"]
        assert states == {job_id: job.state for job_id, job in self.model.jobs.items()}

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        ids = [job.execution_id for job in self.model.jobs.values() if job.execution_id]
        assert len(ids) == len(set(ids))
        fences = self.world.rows(
            "SELECT count(*) = count(DISTINCT (j.chip_id, a.fence)) AS once FROM calib_private.attempts a"
            " JOIN calib_private.jobs j USING (job_id)"
        )
        assert fences[0]["once"] is True
