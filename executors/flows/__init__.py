"""The flows of jobs.

A flow author writes a Prefect flow, importing ``from executors.service import CalibService, is_cancellation,
on_flow_cancellation``, in a file of the folder that ``qdash-executor --flows`` names, or in a package with a
:class:`FlowDefinition` that the distribution's metadata name::

    [project.entry-points."qdash_queue.flows"]
    my_flow = "my_package.my_flow:MY_FLOW"

``docs/flows.md`` tells how.
"""

from executors.flows.definition import FlowDefinition, FlowError
from executors.flows.registry import (
    FoundFlows,
    catalogue_flows,
    catalogue_tasks,
    find_flows,
    load_flows,
    register,
)
from executors.flows.signature import Coupling, Mux, Qid, RunParameters, TaskName, flow_of

__all__ = [
    "Coupling",
    "FlowDefinition",
    "FlowError",
    "FoundFlows",
    "Mux",
    "Qid",
    "RunParameters",
    "TaskName",
    "catalogue_flows",
    "catalogue_tasks",
    "find_flows",
    "flow_of",
    "load_flows",
    "register",
]
