"""What a calibration session is about, under QDash's names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from executors.engine.run_parameters import RunParameterDefaults
from qdash_queue.errors import QdashQueueError

_USERNAME = re.compile(r"[a-z0-9][a-z0-9_-]{2,63}")
_CHIP_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,47}")
_QID = re.compile(r"(0|[1-9][0-9]*)(-(0|[1-9][0-9]*))?")


class ConfigError(QdashQueueError, ValueError):
    """A session was described wrongly; the message names the field, what was expected and what was given."""


@dataclass(frozen=True, kw_only=True)
class CalibConfig:
    """One calibration session.

    Inside a job (a flow run by an executor) the row is the truth: chip, user and project must agree with it,
    and ``execution_id``, ``flow_name``, ``tags`` and ``note`` are the row's. In a plain script they describe
    the job that :meth:`CalibOrchestrator.initialize` inserts.

    Attributes:
        username: the project member for whom the session runs; names a folder.
        chip_id: the chip.
        qids: the qubits (``"0"``) or couplings (``"0-1"``) that the session may touch.
        execution_id: the caller's own label, kept in the job's note. The queue gives out the execution id.
        backend_name: ``fake`` or ``qubex``; ``None`` is the chip's own kind, anything else than that is
            refused.
        flow_name: the name that people see.
        tags: words to find the session by.
        note: anything that belongs to the session.
        muxes: multiplexers whose qubits belong to the session, beside ``qids``.
        project_id: the project; ``None`` in a script means the only project of the role.
        skip_execution: run inside the present job without ever giving its verdict.
        persist_output_parameters: ``False`` records what is measured without changing any parameter.
        default_run_parameters: run parameters for every task: ``{task: {name: value}}`` or ``{name: value}``.

    Raises:
        ConfigError: a field has a value that cannot be used.
    """

    username: str
    chip_id: str
    qids: list[str] = field(default_factory=list)
    execution_id: str | None = None
    backend_name: str | None = None
    flow_name: str | None = None
    tags: list[str] | None = None
    note: Mapping[str, JsonValue] | None = None
    muxes: list[int] | None = None
    project_id: str | None = None
    skip_execution: bool = False
    persist_output_parameters: bool = True
    default_run_parameters: RunParameterDefaults = field(default_factory=dict)

    def __post_init__(self) -> None:
        words = "3 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit"
        _expect(_has_form(self.username, _USERNAME), "username", words, self.username)
        _expect(_has_form(self.chip_id, _CHIP_ID), "chip_id", 'a chip such as "64Qv3"', self.chip_id)
        self._check_lists()
        for name in ("execution_id", "backend_name", "flow_name", "project_id"):
            value = getattr(self, name)
            _expect(value is None or (isinstance(value, str) and value != ""), name, "a text or None", value)
        for name in ("skip_execution", "persist_output_parameters"):
            _expect(isinstance(getattr(self, name), bool), name, "True or False", getattr(self, name))
        for name in ("note", "default_run_parameters"):
            value = getattr(self, name)
            _expect(value is None or isinstance(value, Mapping), name, "a mapping", value)

    def _check_lists(self) -> None:
        _expect(isinstance(self.qids, list | tuple), "qids", 'a list such as ["0", "1"]', self.qids)
        for qid in self.qids:
            _expect(_has_form(qid, _QID), "qids", 'qubits such as "0" or couplings such as "0-1"', qid)
        twice = sorted({qid for qid in self.qids if self.qids.count(qid) > 1})
        _expect(not twice, "qids", "each qubit once", ", ".join(twice))
        for name, kind, words in (("tags", str, "a list of texts"), ("muxes", int, "a list of numbers")):
            values = getattr(self, name)
            right = values is None or (
                isinstance(values, list | tuple) and all(type(value) is kind for value in values)
            )
            _expect(right, name, f"{words} or None", values)


def _has_form(value: object, form: re.Pattern[str]) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None


def _expect(right: bool, name: str, expected: str, got: object) -> None:  # noqa: FBT001 - reads as a sentence
    if not right:
        raise ConfigError(f"CalibConfig.{name}: expected {expected}, got {got!r}")
