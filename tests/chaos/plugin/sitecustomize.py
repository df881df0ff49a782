"""Lets the clock of a process be set from outside, while it runs, for all that Python code can read of it.

Loaded by every interpreter that finds this folder on its path, before anything else. The variable names a
file with one number: by how many seconds ``time.time()`` and ``datetime.now()`` and their kin are wrong.
The machine's own clock, and every other process, stays as it is.
"""

import ctypes
import datetime as dt
import gc
import mmap
import os
import struct
import time

VARIABLE = "QDASH_CHAOS_CLOCK"


def _falsify(shift: mmap.mmap) -> None:
    true_ns, true_now = time.time_ns, dt.datetime.now

    def seconds() -> float:
        return float(struct.unpack("<d", shift[:8])[0])

    def time_ns() -> int:
        return true_ns() + int(1e9 * seconds())

    def now(kind: type[dt.datetime], tz: dt.tzinfo | None = None) -> dt.datetime:
        right = true_now(dt.UTC) + dt.timedelta(seconds=seconds())
        return kind.fromtimestamp(right.timestamp(), tz)

    def utcnow(kind: type[dt.datetime]) -> dt.datetime:
        return now(kind, dt.UTC).replace(tzinfo=None)

    time.time_ns, time.time = time_ns, lambda: time_ns() / 1e9
    # The type is written in C and takes new methods through its own dictionary only.
    methods = gc.get_referents(dt.datetime.__dict__)[0]
    methods |= {"now": classmethod(now), "utcnow": classmethod(utcnow)}
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(dt.datetime))


if VARIABLE in os.environ:
    with open(os.environ[VARIABLE], "rb") as file:  # noqa: PTH123 - pathlib is not needed by every process
        _falsify(mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ))
