"""Flows in the Python files and packages of a folder, each imported by itself."""

from __future__ import annotations

import functools
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from executors.flows.definition import FlowDefinition, FlowError
from executors.flows.signature import flow_of

if TYPE_CHECKING:
    from prefect import Flow

_SHOWN_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Candidate:
    """A flow, and where it comes from in words."""

    definition: FlowDefinition
    origin: str


Found = Candidate | str
"""A flow, or one sentence on what cannot be offered and why."""


@functools.cache
def flows_in(folder: Path) -> tuple[Found, ...]:
    """The flows of every ``*.py`` file and package, by file name; ``_x.py`` and ``.x.py`` are left alone.

    Once in a process: a child has them from the forkserver, and never runs a file a second time.

    Args:
        folder: an absolute path; it is not put on Python's path.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if _is_source(path))
    except OSError as error:
        return (f"{folder}: cannot be read: {error.strerror}",)
    return tuple(found for path in paths for found in _flows_of(path))


def words_of(error: BaseException, *, is_placed: bool = False) -> str:
    """An exception of somebody's module on one line; ``is_placed``: file and line are said beside it."""
    words = f"{error.msg if is_placed and isinstance(error, SyntaxError) else error}"
    if not isinstance(error, FlowError):
        words = f"cannot be imported: {type(error).__name__}: {words}"
    return " ".join(words.split())[:_SHOWN_CHARACTERS]


def _is_source(path: Path) -> bool:
    if path.name.startswith(("_", ".")):
        return False
    return (path / "__init__.py").exists() if path.is_dir() else path.suffix == ".py"


def _flows_of(path: Path) -> Iterator[Found]:
    try:
        module = _import(path)
        found = list(_offered_by(module, path))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a file that calls sys.exit() stops no other
        yield f"{_place(path, error)}: {words_of(error, is_placed=True)}"
        return
    if found or _defines_tasks(module):
        yield from found
        return
    yield f"{path.name}: offers no flow: expected a FlowDefinition or a public Prefect flow at its top level"


def _defines_tasks(module: ModuleType) -> bool:
    from calibtasks.task import REGISTRY  # noqa: PLC0415 - loads Plotly

    return REGISTRY.is_of(module.__name__)


def _import(path: Path) -> ModuleType:
    # No import statement can name it, and no two paths give one name; a "." would be read as a package's.
    name = str(path).replace(".", "//")
    is_package = path.is_dir()
    spec = importlib.util.spec_from_file_location(
        name,
        path / "__init__.py" if is_package else path,
        submodule_search_locations=[str(path)] if is_package else None,
    )
    if spec is None or spec.loader is None:
        raise FlowError("cannot be imported: expected a Python file or package")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # Types are looked up there, and a package's modules need it.
    spec.loader.exec_module(module)
    return module


def _offered_by(module: ModuleType, path: Path) -> Iterator[Found]:
    """The definitions, and, where none is of a flow of this file, its own public Prefect flows."""
    definitions = {id(each): each for each in vars(module).values() if isinstance(each, FlowDefinition)}
    for definition in definitions.values():
        yield Candidate(definition, _line(path, definition.flow))
    if any(_is_of(module, definition.flow) for definition in definitions.values()):
        return
    for flow in _own_flows_of(module):
        try:
            yield Candidate(flow_of(flow), _line(path, flow))
        except FlowError as error:
            yield f"{_line(path, flow)}: {error}"


def _own_flows_of(module: ModuleType) -> list[Flow[..., Any]]:
    from prefect import Flow  # noqa: PLC0415 - its settings are made by now

    flows = {
        id(each): each
        for name, each in vars(module).items()
        if isinstance(each, Flow) and not name.startswith("_") and _is_of(module, each)
    }
    return list(flows.values())


def _is_of(module: ModuleType, flow: Flow[..., Any]) -> bool:
    """What a file imports from elsewhere it only uses; a package shows what its modules define."""
    return f"{flow.fn.__module__}.".startswith(f"{module.__name__}.")


def _line(path: Path, flow: Flow[..., Any]) -> str:
    """Where the function of a flow stands, if that is in this file or package."""
    code = getattr(flow.fn, "__code__", None)
    if code is None or not Path(code.co_filename).is_relative_to(path):
        return path.name
    return f"{Path(code.co_filename).relative_to(path.parent)}, line {code.co_firstlineno}"


def _place(path: Path, error: BaseException) -> str:
    """The last line in this file or package that led to the error."""
    lines = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        lines.append((error.filename or "", error.lineno))
    for file, line in reversed(lines):
        if line and Path(file).is_relative_to(path):
            return f"{Path(file).relative_to(path.parent)}, line {line}"
    return path.name
