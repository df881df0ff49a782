"""The queue world under its former names, until every test of this folder names it by itself."""

from tests.support.queue_world import (
    CALIBRATE,
    DENIED,
    INTERACTIVE,
    PARAMETERS,
    PROJECT,
    REPEAT,
    TASKS,
    Connection,
    Person,
    Row,
    insert,
    outcome,
)
from tests.support.queue_world import QueueWorld as Lab
from tests.support.queue_world import open_queue_world as open_lab

__all__ = [
    "CALIBRATE",
    "DENIED",
    "INTERACTIVE",
    "PARAMETERS",
    "PROJECT",
    "REPEAT",
    "TASKS",
    "Connection",
    "Lab",
    "Person",
    "Row",
    "insert",
    "open_lab",
    "outcome",
]
