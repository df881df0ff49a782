"""A client that stays connected across the upgrade; run on a release's code, until its standard input ends.

Every read is counted, and every refusal of a statement that was prepared before its view has grown (0A000).
Nothing else may go wrong.
"""

from __future__ import annotations

import json
import sys
import threading

import psycopg

from qdash_queue import Queue


def main() -> None:
    url, job_id = sys.argv[1:]
    queue = Queue.connect(url)
    stopping = threading.Event()
    threading.Thread(target=_wait_for_the_end, args=(stopping,), daemon=True).start()
    reads = refused = 0
    while not stopping.is_set():
        try:
            queue.get(int(job_id))
            queue.list(limit=5)
            reads += 1
        except psycopg.errors.FeatureNotSupported:
            refused += 1
        stopping.wait(0.1)
    json.dump({"reads": reads, "refused": refused}, sys.stdout)


def _wait_for_the_end(stopping: threading.Event) -> None:
    sys.stdin.read()
    stopping.set()


if __name__ == "__main__":
    main()
