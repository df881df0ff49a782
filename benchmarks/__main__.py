"""Every benchmark of this folder, one after the other, each in a process of its own and bounded in time.

    python -m benchmarks [NAME ...] [OPTION ...]

Options, from the first that starts with a dash, go to each that is named. The report is what they print.
Exit 1 if one of them failed or ran out of time; the others run all the same.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
BOUND_SECONDS = 10_800


def main() -> None:
    given = sys.argv[1:]
    count = next((at for at, word in enumerate(given) if word.startswith("-")), len(given))
    names, options = given[:count], given[count:]
    if options and not names:
        raise SystemExit("expected the name of a benchmark before its options")
    names = names or runnable()
    failed = [name for name in names if not run(name, options)]
    print(f"\n{len(names) - len(failed)} of {len(names)} benchmarks ran to their end", flush=True)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def runnable() -> list[str]:
    return [
        file.stem
        for file in sorted(HERE.glob("[!_]*.py"))
        if 'if __name__ == "__main__":' in file.read_text(encoding="utf-8")
    ]


def run(name: str, options: Sequence[str]) -> bool:
    print(f"\n{'=' * 20} {name} {'=' * 20}", flush=True)
    begin = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", *options], timeout=BOUND_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        print(f"stopped: it had not ended after {BOUND_SECONDS} s")
        return False
    print(f"({time.monotonic() - begin:.0f} s, exit {done.returncode})", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    main()
