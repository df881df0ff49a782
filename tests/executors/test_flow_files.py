"""Flows from files: what is offered, what is not, and in which words."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from textwrap import dedent

import pytest

from calibtasks.task import REGISTRY
from executors.flows import catalogue_tasks, find_flows, registry

GOOD = """
    from prefect import flow
    from executors.service import on_flow_cancellation

    @flow(on_cancellation=[on_flow_cancellation])
    def {name}(username: str, chip_id: str, project_id: str, count: int{more}) -> None:
        "Counts."
"""


def good(name: str, more: str = "") -> str:
    return GOOD.format(name=name, more=more)


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path = path / "__init__.py" if path.suffix == "" and path.is_dir() else path.with_suffix(".py")
        path.write_text(dedent(text).lstrip())


def own_flows(folder: Path) -> set[str]:
    return set(find_flows(folder).flows) - set(find_flows().flows)


def findings(folder: Path) -> list[str]:
    return find_flows(folder).findings


def test_a_plain_flow_is_offered_under_its_functions_name(tmp_path: Path) -> None:
    write(tmp_path, scan=good("my_scan"))
    found = find_flows(tmp_path)
    definition = found.flows["my_scan"]
    assert (definition.flow.name, definition.description) == ("my_scan", "Counts.")
    assert definition.schema["required"] == ["count"]
    assert found.findings == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\n\ndef f(:\n", "x.py, line 3: cannot be imported: SyntaxError: invalid syntax"),
        (
            "import os\nimport no_such_module\n",
            "x.py, line 2: cannot be imported: ModuleNotFoundError: No mod",
        ),
        (
            "def f():\n    1 / 0\n\nf()\n",
            "x.py, line 2: cannot be imported: ZeroDivisionError: division by zero",
        ),
        ("import sys\nsys.exit(3)\n", "x.py, line 2: cannot be imported: SystemExit: 3"),
        ("import json\n\njson.loads('{')\n", "x.py, line 3: cannot be imported: JSONDecodeError: Expecting"),
        ("raise ValueError('two\\nlines')\n", "x.py, line 1: cannot be imported: ValueError: two lines"),
        ("x = 1\n", "x.py: offers no flow: expected a FlowDefinition or a public Prefect flow"),
        (
            good("odd", ", *rest: int"),
            'x.py, line 4: flow "odd": parameter "rest": expected one that a job can give by its name',
        ),
        (
            good("odd").replace("@flow(on_cancellation=[on_flow_cancellation])", "@flow"),
            'x.py, line 4: flow "odd" does not register on_flow_cancellation: decorate it with @flow(on_canc',
        ),
        (
            good("odd").replace("chip_id: str, ", ""),
            'x.py, line 4: flow "odd": expected the parameters username, chip_id, project_id, got no chip_id',
        ),
        (
            good("odd").replace("def", "async def"),
            'x.py, line 4: flow "odd": expected a plain function, got an async function',
        ),
        (
            good("calibrate"),
            'x.py, line 4: flow "calibrate" is offered by qdash-queue already',
        ),
    ],
)
def test_what_cannot_be_offered_is_said_in_one_sentence_and_stops_no_other(
    tmp_path: Path, text: str, words: str
) -> None:
    write(tmp_path, a=good("first"), x=text, z=good("last"))
    (said,) = findings(tmp_path)
    assert said.startswith(words)
    assert "\n" not in said
    assert own_flows(tmp_path) == {"first", "last"}


def test_a_second_file_of_a_name_is_reported(tmp_path: Path) -> None:
    write(tmp_path, b=good("twin"), a="# First by name.\n" + dedent(good("twin")).lstrip())
    assert findings(tmp_path) == ['b.py, line 4: flow "twin" is offered by a.py, line 5 already']
    assert own_flows(tmp_path) == {"twin"}


def test_one_refused_flow_of_a_file_leaves_its_others(tmp_path: Path) -> None:
    write(tmp_path, pair=dedent(good("one")) + dedent(good("two", ", *rest: int")))
    assert own_flows(tmp_path) == {"one"}
    assert len(findings(tmp_path)) == 1


def test_a_file_with_definitions_offers_these_only(tmp_path: Path) -> None:
    text = dedent(good("whole")) + dedent(good("part")) + "from executors.flows import flow_of\n"
    write(tmp_path, explicit=f"{text}WHOLE = flow_of(whole, repeatable=True, timeout_seconds=60)\n")
    found = find_flows(tmp_path)
    assert own_flows(tmp_path) == {"whole"}
    assert found.findings == []
    assert (found.flows["whole"].repeatable, found.flows["whole"].timeout_seconds) == (True, 60)


def test_what_a_file_imports_or_hides_is_not_its_own(tmp_path: Path) -> None:
    write(tmp_path, mine=good("mine") + "\n    from executors.flows.calibrate import calibrate, CALIBRATE\n")
    write(tmp_path, hides=dedent(good("_hidden")) + dedent(good("shown")), _draft="this is no Python")
    assert own_flows(tmp_path) == {"mine", "shown"}
    assert findings(tmp_path) == []


def test_a_package_imports_its_own_modules(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "data").mkdir()
    write(
        tmp_path, lab="from .flows import packed\n", lab__flows="from . import words" + dedent(good("packed"))
    )
    write(tmp_path, lab__words="WORDS = 'kept'\n")
    assert own_flows(tmp_path) == {"packed"}
    assert findings(tmp_path) == []


def test_a_fault_deep_in_a_package_is_located_there(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    write(tmp_path, lab="\nfrom . import flows\n", lab__flows="x = 1\n1 +\n")
    assert findings(tmp_path)[0].startswith("lab/flows.py, line 2: cannot be imported: SyntaxError: ")


def test_a_file_with_a_task_and_no_flow_is_read_for_its_task(tmp_path: Path) -> None:
    task = """
        from calibtasks.base import BaseTask, PostProcessResult, RunResult

        class Ping(BaseTask):
            def run(self, backend, qid):
                return RunResult()

            def postprocess(self, backend, execution_id, run_result, qid):
                return PostProcessResult()
    """
    (tmp_path / "lab").mkdir()
    try:
        write(tmp_path, ping=task, lab="from . import pong\n", lab__pong=task.replace("Ping", "Pong"))
        assert findings(tmp_path) == []
        assert [REGISTRY.find(name).origin() for name in ("Ping", "Pong")] == ["ping.py", "lab"]
        listed = {entry.task: entry.description for entry in catalogue_tasks()}
    finally:
        REGISTRY.forget("Ping")
        REGISTRY.forget("Pong")
    assert listed["Ping"] == "[of ping.py]"


def test_files_are_no_modules_of_the_process(tmp_path: Path) -> None:
    """A file called as a module of the standard library hides nothing, and is run once."""
    counts = """
        from pathlib import Path
        with Path(__file__).with_suffix(".ran").open("a") as file:
            file.write("x")
    """
    write(tmp_path, json=dedent(counts) + dedent(good("shadow")))
    before = set(sys.modules)
    assert own_flows(tmp_path) == {"shadow"}
    assert "dumps" in vars(sys.modules["json"])
    assert [name for name in set(sys.modules) - before if name.isidentifier()] == []
    assert str(tmp_path) not in sys.path
    find_flows(tmp_path)
    assert (tmp_path / "json.ran").read_text() == "x"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no_such_module:FLOW", "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        ("json:dumps", "expected a FlowDefinition, got function"),
        ("executors.flows.calibrate:NOTHING", "cannot be imported: AttributeError: "),
    ],
)
def test_an_entry_point_that_cannot_be_used_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, value: str, words: str
) -> None:
    points = [EntryPoint("mine", value, registry.ENTRY_POINT_GROUP)]
    monkeypatch.setattr(registry, "entry_points", lambda **_: points)
    found = find_flows()
    assert found.findings[0].startswith(f"entry point mine ({value}): {words}")
    assert set(found.flows) == {each.name for each in registry._own_flows()}


def test_a_schema_by_hand_that_is_no_json_stops_no_other(tmp_path: Path) -> None:
    by_hand = "FLOW = FlowDefinition('odd', odd, '', {'properties': {'x': {'minimum': float('nan')}}})\n"
    write(
        tmp_path,
        a=f"{dedent(good('odd'))}from executors.flows import FlowDefinition\n{by_hand}",
        b=good("ok"),
    )
    (said,) = findings(tmp_path)
    assert said.startswith('a.py, line 4: flow "odd" cannot be registered: ')
    assert own_flows(tmp_path) == {"ok"}
