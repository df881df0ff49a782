"""Shows, if asked by ``--planted``, the planted violations and what the auditor found."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from tests.chaos.auditor import Violation

FOUND = pytest.StashKey[dict[str, list[Violation]]]()
_SHOWN = 3

Note = Callable[[Iterable[Violation]], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the table."""
    parser.addoption(
        "--planted", action="store_true", help="show each planted violation and what the auditor found"
    )


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Remembers what the auditor found in this test."""
    found = request.config.stash.setdefault(FOUND, {})
    name = request.node.name.removeprefix("test_").replace("_", " ")

    def remember(violations: Iterable[Violation]) -> None:
        found.setdefault(name, []).extend(violations)

    return remember


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table."""
    if not config.getoption("--planted", default=False):
        return
    terminalreporter.section("planted, and what the auditor found")
    for name, violations in config.stash.get(FOUND, {}).items():
        terminalreporter.write_line(f"{name}: {len(violations)} violations")
        for violation in violations[:_SHOWN]:
            terminalreporter.write_line(f"    {violation}"[:200])
        if len(violations) > _SHOWN:
            terminalreporter.write_line(f"    and {len(violations) - _SHOWN} more")
