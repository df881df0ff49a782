"""The snippets of QDash's workflow engine quickstart, as they are written there."""

SESSION = """\
from qdash.workflow.engine import CalibOrchestrator, CalibConfig

# Configure the session
config = CalibConfig(
    username="alice",
    chip_id="64Qv3",
    qids=["0", "1"],
    execution_id="20240101-001",
)

# Initialize and run
orchestrator = CalibOrchestrator(config)
orchestrator.initialize()

# Execute a task
result = orchestrator.run_task("CheckRabi", qid="0")

# Complete the session
orchestrator.complete()
"""

TASK = """\
from qdash.workflow.calibtasks.base import BaseTask

class MyNewTask(BaseTask):
    name = "MyNewTask"
    
    def preprocess(self, backend):
        # Extract input parameters
        pass
    
    def run(self, backend):
        # Execute measurement
        pass
    
    def postprocess(self, backend, result):
        # Process results, generate figures
        pass
"""  # noqa: W293

TESTING = """\
config = CalibConfig(
    backend_name="fake",  # Use fake backend
    ...
)
"""

FLOW = """\
from qdash.workflow.service.calib_service import on_flow_cancellation

@flow(on_cancellation=[on_flow_cancellation])
def my_calibration_flow(
    username: str,
    chip_id: str,
    project_id: str | None = None,
    flow_name: str | None = None,
    ...
):
    cal = CalibService(username, chip_id, ...)
    try:
        # ... run tasks ...
        cal.finish_calibration()
    except BaseException as e:
        from qdash.workflow.service.calib_service import _is_cancellation
        if _is_cancellation(e):
            cal.cancel_calibration()
        else:
            cal.fail_calibration(str(e))
        raise
"""

FLOW_IMPORTS = """\
from prefect import flow
from qdash.workflow.service import CalibService
"""
"""The flow's snippet uses these two names and imports neither."""


def filled(snippet: str, *replacements: str) -> str:
    """The snippet with each literal ``...`` replaced, in order, and nothing else."""
    parts = snippet.split("...")
    assert len(parts) == len(replacements) + 1
    return "".join(part + new for part, new in zip(parts, (*replacements, ""), strict=True))


FILLED_TESTING = filled(TESTING, 'username="alice", chip_id="64Qv3", qids=["0"],')
FILLED_FLOW = filled(
    FLOW,
    "qids: list[str] = []",
    "qids, project_id=project_id, flow_name=flow_name",
    "\n        for qid in qids: cal.execute_task('CheckRabi', qid)\n        #",
    "",
)
