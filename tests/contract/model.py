"""The queue as a few dictionaries: what the database must agree with after every step."""

from __future__ import annotations

from dataclasses import dataclass, field

TERMINAL = ("completed", "failed", "cancelled")
LEASE_SECONDS = 30


@dataclass
class ModelJob:
    """What is known of one job."""

    job_id: int
    chip: str
    priority: int
    max_attempts: int
    not_before: float
    not_after: float | None
    state: str = "scheduled"
    attempt: int = 0
    fence: int = 0
    cancel: str | None = None
    is_seen: bool = False
    verdict: str | None = None
    failure_kind: str | None = None
    execution_id: str | None = None

    def is_due(self, now: float) -> bool:
        return (
            self.state == "scheduled"
            and self.not_before <= now
            and (self.not_after is None or now < self.not_after)
        )


@dataclass
class ModelChip:
    """A chip's lease."""

    fence: int = 0
    job_id: int | None = None
    executor: str | None = None
    expires: float = 0.0
    is_paused: bool = False
    is_dirty: bool = False


@dataclass
class Model:
    """Jobs and chips; the clock in seconds since the start."""

    now: float = 0.0
    jobs: dict[int, ModelJob] = field(default_factory=dict)
    chips: dict[str, ModelChip] = field(default_factory=dict)

    def holds(self, job_id: int, fence: int) -> bool:
        job = self.jobs[job_id]
        chip = self.chips[job.chip]
        return chip.job_id == job_id and chip.fence == fence

    def next_job(self, chip_id: str) -> ModelJob | None:
        chip = self.chips[chip_id]
        due = [job for job in self.jobs.values() if job.chip == chip_id and job.is_due(self.now)]
        if chip.job_id is not None or chip.is_paused or not due:
            return None
        return min(due, key=lambda job: (-job.priority, job.job_id))

    def claim(self, job: ModelJob, executor: str) -> None:
        chip = self.chips[job.chip]
        chip.fence += 1
        chip.job_id, chip.executor, chip.expires = job.job_id, executor, self.now + LEASE_SECONDS
        job.state, job.attempt, job.fence, job.verdict = "running", job.attempt + 1, chip.fence, None

    def ask_cancel(self, job: ModelJob, mode: str) -> str:
        """What the client hears: done, late or refused."""
        if job.state in TERMINAL or job.verdict is not None:
            return "late"
        if job.cancel == "now" and mode == "after_task":
            return "refused"
        job.cancel = mode
        if job.state == "scheduled":
            job.state = "cancelled"
        return "done"

    def conclude(self, job: ModelJob, state: str) -> str:
        if job.verdict is None:
            job.is_seen |= job.cancel is not None
            job.verdict = "cancelled" if job.is_seen else state
            job.failure_kind = "bad_fit" if job.verdict == "failed" else None
        return job.verdict

    def end(self, job: ModelJob, state: str, *, is_dirty: bool = False) -> None:
        chip = self.chips[job.chip]
        chip.job_id = chip.executor = None
        chip.is_dirty |= is_dirty
        job.state = state
        job.verdict = None

    def end_by_policy(self, job: ModelJob, kind: str, *, is_dirty: bool) -> str:
        if job.verdict is not None:
            state = job.verdict
        elif job.cancel is not None:
            state = "cancelled"
        elif job.attempt < job.max_attempts:
            state = "scheduled"
        else:
            state, job.failure_kind = "failed", kind
        self.end(job, state, is_dirty=is_dirty)
        return state

    def sweep(self) -> set[tuple[int, str]]:
        swept = set()
        for chip in self.chips.values():
            if chip.job_id is not None and chip.expires < self.now:
                job = self.jobs[chip.job_id]
                swept.add((job.job_id, self.end_by_policy(job, "lost", is_dirty=True)))
        for job in self.jobs.values():
            if job.state == "scheduled" and job.not_after is not None and job.not_after <= self.now:
                job.state, job.cancel = "cancelled", job.cancel or "now"
                swept.add((job.job_id, "cancelled"))
        return swept
