"""Settings of every process of the queue, read from ``QDASH_QUEUE_*`` variables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from qdash_queue.errors import QdashQueueError


class SettingsError(QdashQueueError):
    """A variable has an invalid value.

    Attributes:
        variable: its name.
    """

    def __init__(self, variable: str, message: str) -> None:
        super().__init__(message)
        self.variable = variable


class Settings(BaseSettings):
    """Server URLs, paths and timings."""

    model_config = SettingsConfigDict(env_prefix="QDASH_QUEUE_", extra="ignore")

    database_url: str = Field(
        default="", description="PostgreSQL, as postgresql://user:password@host:5432/name"
    )
    mongo_url: str = Field(default="", description="MongoDB of QDash, as mongodb://host:27017")
    mongo_database: str = Field(default="qdash", description="QDash's database in MongoDB")
    prefect_api_url: str = Field(default="", description="Prefect's API, as http://host:4200/api")
    data_path: Path = Field(
        default=Path("calib_data"), description="Where the mirror writes figures and raw data"
    )
    data_path_in_qdash: str = Field(
        default="/app/calib_data", description="The same folder as QDash's API sees it; stored in MongoDB"
    )
    state_path: Path = Field(
        default=Path("qdash-queue-state"),
        description="Scratch folders of jobs and the state of simulated instruments",
    )
    qubex_config_path: Path | None = Field(default=None, description="Folder of qubex's configuration files")
    flows_path: Path | None = Field(
        default=None, description="Folder of Python files and packages with flows of your own"
    )
    lease_seconds: float = Field(default=30.0, ge=1.0, le=3600.0, description="How long a lease lasts")
    heartbeat_seconds: float = Field(
        default=5.0, ge=0.1, description="How often a running job renews its lease"
    )
    poll_seconds: float = Field(default=1.0, ge=0.05, description="How often an idle executor polls for jobs")
    term_grace_seconds: float = Field(
        default=3.0, ge=0.0, description="From SIGTERM to SIGKILL of a job's process"
    )
    figure_seconds: float = Field(
        default=20.0,
        ge=1.0,
        description="How long a figure may take to render before it is tried once more",
    )
    prefect_deployment: bool = Field(
        default=True, description="Link flow runs to a deployment, for which Prefect's UI offers Cancel"
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)] = Field(
        default="INFO", description="DEBUG, INFO, WARNING or ERROR"
    )
    sim_seed: int = Field(default=0, ge=0, description="Seed of simulated chips")


def read_settings() -> Settings:
    """The settings of this process's environment.

    Raises:
        SettingsError: a variable that cannot be read, and why.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = error.errors()[0]
        variable = "QDASH_QUEUE_" + "_".join(str(part) for part in wrong["loc"]).upper()
        raise SettingsError(variable, f"{variable}: {wrong['msg']}, got {wrong['input']!r}") from error
