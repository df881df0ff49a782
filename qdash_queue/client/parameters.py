"""Calibrated values: in force now, as of an instant, their history; imports, edits and reverts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from pydantic import JsonValue

from qdash_queue.client.database import Database
from qdash_queue.client.models import Parameter
from qdash_queue.errors import BadValueError

ParameterValues = Mapping[str, Mapping[str, JsonValue]]


class Parameters:
    """The parameters of one chip."""

    def __init__(self, database: Database, chip_id: str) -> None:
        self.database = database
        self.chip_id = chip_id

    def current(self, qids: list[str] | None = None) -> list[Parameter]:
        """The values in force, of all qubits and couplings or of ``qids``."""
        return self.database.models(
            Parameter,
            "SELECT * FROM calib.parameters WHERE chip_id = %(chip_id)s"
            " AND (CAST(%(qids)s AS text[]) IS NULL OR qid = ANY(CAST(%(qids)s AS text[])))"
            " ORDER BY length(qid), qid, name",
            chip_id=self.chip_id,
            qids=qids,
        )

    def as_of(self, at: datetime) -> list[Parameter]:
        """The values that were in force at an instant."""
        return self.database.models(
            Parameter,
            "SELECT * FROM calib.parameters_as_of(%(chip_id)s, %(at)s) ORDER BY length(qid), qid, name",
            chip_id=self.chip_id,
            at=at,
        )

    def history(self, qid: str, name: str) -> list[Parameter]:
        """All versions of one parameter, newest first."""
        return self.database.models(
            Parameter,
            "SELECT * FROM calib.parameter_history WHERE chip_id = %(chip_id)s AND qid = %(qid)s AND name ="
            " %(name)s"
            " ORDER BY valid_from DESC",
            chip_id=self.chip_id,
            qid=qid,
            name=name,
        )

    def set(
        self,
        qid: str,
        name: str,
        value: float,
        *,
        unit: str,
        reason: str,
        error: float = 0.0,
        force: bool = False,
    ) -> None:
        """Put a value in force by hand; ``force``: although it is not what its name stands for.

        Raises:
            BadValueError: it is not what ``calib.known_parameters`` or the chip's tasks expect, value or
                error is not finite, or the reason is missing.
            IllegalTransitionError: it was changed since the transaction began.
        """
        self.database.rows_once(
            "SELECT calib.set_parameter(%(chip_id)s, %(qid)s, %(name)s, %(value)s, %(error)s, %(unit)s,"
            " %(reason)s, %(force)s)",
            chip_id=self.chip_id,
            qid=qid,
            name=name,
            value=value,
            error=error,
            unit=unit,
            reason=reason,
            force=force,
        )

    def import_values(self, values: ParameterValues, reason: str, *, force: bool = False) -> int:
        """Put many values in force, all or none; returns how many.

        ``values`` is ``{qid: {name: {"value": ..., "unit": ..., "error": ...}}}``; ``force`` as for ``set``.

        Raises:
            BadValueError, IllegalTransitionError: as ``set``.
        """
        try:
            document = json.dumps(values, allow_nan=False)
        except ValueError as error:
            raise BadValueError("values: expected finite numbers, got NaN or an infinity") from error
        rows = self.database.rows_once(
            "SELECT calib.import_parameters(%(chip_id)s, CAST(%(values)s AS jsonb), %(reason)s, %(force)s)"
            " AS count",
            chip_id=self.chip_id,
            values=document,
            reason=reason,
            force=force,
        )
        return int(rows[0]["count"])

    def revert(self, qid: str, name: str, as_of: datetime, reason: str) -> None:
        """Put back the value that was in force at an instant."""
        self.database.rows_once(
            "SELECT calib.revert_parameter(%(chip_id)s, %(qid)s, %(name)s, %(as_of)s, %(reason)s)",
            chip_id=self.chip_id,
            qid=qid,
            name=name,
            as_of=as_of,
            reason=reason,
        )
