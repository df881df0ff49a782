"""What a value was measured with, by which a later change of that makes it suspect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from calibtasks.parameters.declared import declared
from calibtasks.task import owner
from qdash_queue.domain import ParameterModel


@dataclass(frozen=True)
class Origin:
    """The measurement that a value comes from.

    Attributes:
        qid: the qubit or coupling that was measured.
        inputs: its recorded inputs by key.
    """

    qid: str
    inputs: Mapping[str, ParameterModel]

    def spoilers(self, qid: str, name: str) -> Iterator[Spoiler]:
        """The inputs whose change spoils the value ``name`` of ``qid``; a qubit's value by its own ones."""
        known = declared()
        if name not in known:
            return
        for key, measured in self.inputs.items():
            found = known.get(measured.parameter_name or key)
            holder = owner(self.qid, measured.qid_role)
            if (
                found is None
                or found.name not in known[name].spoiled_by
                or holder not in (qid, *_qubits(qid))
            ):
                continue
            yield Spoiler(holder, found.names, measured, found.tolerance or 0.0)


@dataclass(frozen=True)
class Spoiler:
    """An input as it was, and by how much it may change.

    Attributes:
        qid: whose it is.
        names: under which it is stored.
        measured: its value then.
        tolerance: in its unit.
    """

    qid: str
    names: tuple[str, ...]
    measured: ParameterModel
    tolerance: float


def _qubits(qid: str) -> list[str]:
    """A coupling's two qubits."""
    return qid.split("-")
