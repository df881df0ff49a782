"""The calibration engine: sessions, the life of a task, and the gate before the parameters."""

from executors.engine.config import CalibConfig, ConfigError
from executors.engine.failures import TaskFailedError
from executors.engine.interactive import SessionRefusedError
from executors.engine.orchestrator import CalibOrchestrator

__all__ = ["CalibConfig", "CalibOrchestrator", "ConfigError", "SessionRefusedError", "TaskFailedError"]
