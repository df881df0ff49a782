"""The calibration engine: sessions, the life of a task, and the gate before the parameters."""

from executors.engine.config import CalibConfig, ConfigError
from executors.engine.interactive import SessionRefusedError
from executors.engine.orchestrator import CalibOrchestrator
from executors.job.failures import TaskFailedError

__all__ = ["CalibConfig", "CalibOrchestrator", "ConfigError", "SessionRefusedError", "TaskFailedError"]
