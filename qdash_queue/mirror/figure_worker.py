"""The process that renders figures; started by :mod:`qdash_queue.mirror.figures`, never imported.

Reads one JSON object a line (``figure``, ``width``, ``height``, ``scale``), answers one a line: ``png`` in
base64, or ``error``. Ends when its input ends, and takes kaleido's browser with it.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any


def make_scope() -> Any:
    """Kaleido with plotly's own script and nothing fetched from anywhere."""
    from kaleido.scopes.plotly import PlotlyScope  # noqa: PLC0415

    found = importlib.util.find_spec("plotly")
    if found is None or found.origin is None:
        raise ImportError("plotly is not installed")
    script = Path(found.origin).parent / "package_data" / "plotly.min.js"
    return PlotlyScope(plotlyjs=str(script), mathjax=False)


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


def main() -> None:
    """Answer until the input ends."""
    scope = make_scope()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(scope, line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
