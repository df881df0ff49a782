"""The process that renders figures; the mirror starts it and never imports it.

Renders an empty figure first, so that its mirror knows whether it can. Then reads one JSON object a line
(``figure``, ``width``, ``height``, ``scale``). Answers one a line: ``png`` in base64, or ``error``. Ends when
its input ends or its parent (the argument) dies, even while kaleido hangs, and takes its browser with it.
"""

from __future__ import annotations

import base64
import importlib.util
import itertools
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

_EMPTY = '{"figure": {"data": [], "layout": {}}, "width": 100, "height": 100, "scale": 1}'


def make_scope() -> Any:
    """Kaleido with plotly's own script and nothing fetched from anywhere.

    Kaleido 0.2.1 begins when its page says that it is loaded, and starts to listen for that only after it has
    opened the page. An empty page may be loaded before: then kaleido waits and never reads a figure. Given as
    a URL, the script is part of the page, which is not loaded before the script has run. Given as a path, the
    script would be run later.
    """
    from kaleido.scopes.plotly import PlotlyScope  # noqa: PLC0415

    found = importlib.util.find_spec("plotly")
    if found is None or found.origin is None:
        raise ImportError("plotly is not installed")
    script = Path(found.origin).parent / "package_data" / "plotly.min.js"
    return PlotlyScope(plotlyjs=script.as_uri(), mathjax=False)


def answer(scope: Any, line: str) -> dict[str, str]:
    """Render one request; a figure that kaleido refuses is an answer too."""
    try:
        request = json.loads(line)
        png = scope.transform(
            request["figure"],
            format="png",
            width=request["width"],
            height=request["height"],
            scale=request["scale"],
        )
    except Exception as error:  # noqa: BLE001 - the reason travels to the mirror, which tells it
        return {"error": str(error).split("\n", maxsplit=1)[0] or type(error).__name__}
    return {"png": base64.b64encode(png).decode("ascii")}


def end_with(parent: int) -> None:
    """Kill this process and its group, kaleido among it, once ``parent`` is dead."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Answer until the input ends."""
    threading.Thread(target=end_with, args=(int(sys.argv[1]),), daemon=True).start()
    scope = make_scope()
    for line in itertools.chain([_EMPTY], sys.stdin):
        sys.stdout.write(json.dumps(answer(scope, line)) + "\n")
        sys.stdout.flush()
    # Not by leaving: that waits for a kaleido that may hang.
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
