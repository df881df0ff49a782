"""What every attempt of one executor works with."""

from __future__ import annotations

from dataclasses import dataclass

from executors.flows import FlowDefinition
from executors.job.wakeup import Wakeup
from executors.prefect.client import PrefectLink
from executors.supervisor.child_pool import Nursery
from executors.supervisor.lease_keeper import LeaseTimes
from executors.supervisor.scratch import ScratchFolders
from executors.supervisor.stop_escalation import Graces
from qdash_queue.client.database import Database
from qdash_queue.client.leases import Executor
from qdash_queue.stopping import StopSign


@dataclass(frozen=True)
class Bench:
    """The executor's belongings that outlive its attempts.

    Attributes:
        database: the connection pool of the supervisor.
        executor: the verbs of the executor itself.
        link: to Prefect.
        nursery: of warm children.
        wakeup: ends a wait early.
        flows: what is offered, by name.
        times: how the lease is kept.
        graces: how long a child is waited for when it is stopped.
        duty_seconds: longest time of a hook's or a quiesce's process.
        scratch: folders for the jobs.
        stopping: set when the executor is told to stop.
    """

    database: Database
    executor: Executor
    link: PrefectLink
    nursery: Nursery
    wakeup: Wakeup
    flows: dict[str, FlowDefinition]
    times: LeaseTimes
    graces: Graces
    duty_seconds: float
    scratch: ScratchFolders
    stopping: StopSign
