"""Imported once by the forkserver, so that every child is born with Prefect, qubex and the flows loaded.

The forkserver must stay single-threaded; it is the parent of all children and dies with the supervisor.
"""

import signal

import executors.child
import executors.orphans
from executors.flows import load_flows

_GRACE_SECONDS = 5


def _let_children_end(_signal: int, _frame: object) -> None:
    # The default action of SIGALRM ends the forkserver; that kills what is left of its children, even one
    # that holds the GIL. Until then they may end by themselves, because their pipe has ended too.
    signal.alarm(_GRACE_SECONDS)


signal.signal(signal.SIGUSR1, _let_children_end)
executors.orphans.die_with_parent(signal.SIGUSR1)
executors.child.preload()
load_flows()
