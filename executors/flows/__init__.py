"""The flows of jobs.

A flow author writes one module with a Prefect flow and a :class:`FlowDefinition`, importing
``from executors.flows import FlowDefinition`` and ``from executors.service import CalibService,
is_cancellation, on_flow_cancellation``, and names it in the distribution's metadata::

    [project.entry-points."qdash_queue.flows"]
    my_flow = "my_package.my_flow:MY_FLOW"
"""

from executors.flows.definition import FlowDefinition, FlowError
from executors.flows.registry import catalogue_flows, catalogue_tasks, load_flows

__all__ = ["FlowDefinition", "FlowError", "catalogue_flows", "catalogue_tasks", "load_flows"]
