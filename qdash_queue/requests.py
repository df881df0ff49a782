"""The request of a job: the one place in Python that names its columns."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from qdash_queue.errors import BadValueError


class _Columns(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def of(cls, **columns: object) -> Self:
        """By its columns.

        Raises:
            BadValueError: naming the column that is missing, unknown or of another type.
        """
        try:
            return cls.model_validate(columns)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_context=False)[0]
            column = ".".join(str(part) for part in wrong["loc"])
            raise BadValueError(f"{column}: {wrong['msg']}", column=str(wrong["loc"][0])) from error


class JobEdit(_Columns):
    """What can be changed of a job while it waits; only the fields that are given are changed."""

    priority: int | None = Field(None, description="-100 to 100, higher first.")
    not_before: datetime | None = Field(None, description="Earliest start, local time.")
    not_after: datetime | None = Field(None, description="Cancelled if not started by then, local time.")
    timeout_seconds: int | None = Field(None, description="Maximum run time.")
    tags: list[str] | None = Field(None, description="Label to find the job by; may be repeated.")
    note: dict[str, JsonValue] | None = Field(None, description="A JSON object, or @FILE, kept with the job.")

    def columns(self) -> dict[str, object]:
        """The columns that are given, by name; one may be given as None."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class JobRequest(JobEdit):
    """What a client gives to submit a job; the queue's default applies to what is None.

    Every field is a column of ``calib.jobs``, an attribute of :class:`~qdash_queue.client.models.Job` and an
    option of ``qdash-queue submit`` whose help is its description.
    """

    project_id: str = Field(description="Project to submit to.")
    chip_id: str = Field(description="Chip to measure.")
    parameters: dict[str, JsonValue] = Field(description="The flow's parameters.")
    flow: str | None = Field(None, description="Flow to run; calibrate by default.")
    username: str | None = Field(None, description="User to submit for; another one needs operator access.")
    max_attempts: int | None = Field(None, description="Maximum attempts.")
    dedup_key: str | None = Field(None, description="At most one unfinished job per key.")
    source_job_id: int | None = Field(None, description="Job of the same chip that this one repeats.")

    def columns(self) -> dict[str, object]:
        """The columns that are given, by name."""
        return {name: value for name, value in self if value is not None}
