"""What every attempt of one executor works with."""

from __future__ import annotations

from dataclasses import dataclass

from executors.children import Nursery
from executors.flows import FlowDefinition
from executors.keeper import LeaseTimes
from executors.ladder import Graces
from executors.prefect_link import PrefectLink
from executors.scratch import ScratchFolders
from executors.wakeup import Wakeup
from qdash_queue.database import Database
from qdash_queue.leases import Executor
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
