"""The results of the doctor's checks."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    """Not wrong, but worth knowing."""
    PROBLEM = "problem"


class Finding(BaseModel):
    """The result of one check, and what to do about it."""

    model_config = ConfigDict(frozen=True)

    about: str
    level: Level
    words: str
    remedy: str = ""


def fine(about: str, words: str) -> Finding:
    """It is as it should be."""
    return Finding(about=about, level=Level.OK, words=words)


def note(about: str, words: str, remedy: str = "") -> Finding:
    """It may be intended."""
    return Finding(about=about, level=Level.NOTE, words=words, remedy=remedy)


def problem(about: str, words: str, remedy: str) -> Finding:
    """Something does not work because of it."""
    return Finding(about=about, level=Level.PROBLEM, words=words, remedy=remedy)
