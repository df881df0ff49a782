"""What may happen next in a random history of the queue, and what a run of them must have met."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from qdash_queue.domain import CancelMode
from tests.contract.model import TERMINAL

BACK = st.sampled_from([0, 0, 0, 0, 1, 1, 1, 2, 3])


CHIP = st.integers(0, 1)
NUMBER = st.integers(0, 50)
MODE = st.sampled_from(CancelMode)
VERBS = [
    *["heartbeat"] * 6,
    *["finish"] * 3,
    *("end completed", "end completed", "end failed", "end cancelled"),
    *("give_back", "quiesced", "record", "conclude completed", "conclude failed", "conclude cancelled"),
    *("cancel after_task", "cancel after_task", "cancel now", "cancel now"),
]
ARGUMENTS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "insert": {
        "chip": CHIP,
        "priority": st.integers(-2, 2),
        "attempts": st.integers(1, 3),
        "delay": st.sampled_from([0, 0, 0, 20]),
        "limit": st.sampled_from([None, None, 50]),
    },
    "change_priority": {"number": NUMBER, "priority": st.integers(-2, 2)},
    "cancel_any": {"number": NUMBER, "mode": MODE},
    "requeue": {"number": NUMBER},
    "pause_or_resume": {"chip": CHIP, "is_paused": st.booleans()},
    "claim": {"chip": CHIP, "which": CHIP},
    "work_through": {"chip": CHIP, "state": st.sampled_from(TERMINAL)},
    "act": {"back": BACK, "verb": st.sampled_from(VERBS)},
    "haunt": {"verb": st.sampled_from(VERBS)},
    "wait": {"seconds": st.sampled_from([1, 5, 10])},
    "lose": {"back": BACK},
    "sweep": {},
}
OFTEN = ["claim", "claim", *["act"] * 8, "lose", "haunt", "work_through", "work_through"]
# One rule with all of them inside, because hypothesis leaves whole rules out of a run.
STEPS = st.sampled_from([*ARGUMENTS, *OFTEN]).flatmap(
    lambda name: st.tuples(st.just(name), st.fixed_dictionaries(ARGUMENTS[name]))
)
MUST_HAPPEN = {
    "claimed",
    "claimed again",
    "heartbeat",
    "cancel seen",
    "cancel scheduled done",
    "cancel running done",
    "cancel running late",
    "cancel completed late",
    "finished completed",
    "finished failed",
    "finished cancelled",
    "finished twice",
    "end said completed, stood completed",
    "end said completed, stood cancelled",
    "end said completed, stood failed",
    "ended twice",
    "given back scheduled",
    "given back failed",
    "swept scheduled",
    "swept failed",
    "swept cancelled",
    "zombie refused",
    "haunted",
}
