"""A queue of qubit calibrations in PostgreSQL. Each name is imported when it is first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qdash_queue.client.admin import Admin
    from qdash_queue.client.database import Database
    from qdash_queue.client.leases import Executor, Lease
    from qdash_queue.client.models import Chip, Job, JobEvent, Parameter, TaskRun
    from qdash_queue.client.parameters import Parameters
    from qdash_queue.client.queue import Queue
    from qdash_queue.client.retention import Retention
    from qdash_queue.domain import (
        CancelMode,
        Failure,
        FailureKind,
        JobState,
        ParameterModel,
        RunParameterModel,
        TaskStatus,
    )
    from qdash_queue.errors import DatabaseUnreachableError, QdashQueueError, QueueError, SchemaMissingError
    from qdash_queue.requests import JobRequest
    from qdash_queue.settings import Settings, read_settings

__all__ = [
    "Admin",
    "CancelMode",
    "Chip",
    "Database",
    "DatabaseUnreachableError",
    "Executor",
    "Failure",
    "FailureKind",
    "Job",
    "JobEvent",
    "JobRequest",
    "JobState",
    "Lease",
    "Parameter",
    "ParameterModel",
    "Parameters",
    "QdashQueueError",
    "Queue",
    "QueueError",
    "Retention",
    "RunParameterModel",
    "SchemaMissingError",
    "Settings",
    "TaskRun",
    "TaskStatus",
    "read_settings",
]

_MODULES = (
    *("requests", "domain", "errors", "settings", "client.queue", "client.database", "client.models"),
    *("client.parameters", "client.admin", "client.leases", "client.retention"),
)


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in _MODULES:
            found = vars(import_module(f"{__name__}.{module}")).get(name)
            if found is not None:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
