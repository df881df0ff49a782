from __future__ import annotations

from calibtasks.base import Backend, BaseTask, PostProcessResult, RunResult


class CheckRamsey(BaseTask):
    """Being written."""

    name = "CheckRamsey"

    def run(self, backend: Backend, qid: str) -> RunResult:
        raise NotImplementedError

    def postprocess(
        self, backend: Backend | None, execution_id: str, run_result: RunResult, qid: str
    ) -> PostProcessResult:
        raise NotImplementedError
