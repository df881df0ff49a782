"""Which answers of PostgreSQL are fair: our codes in one sentence, and its typing of the client's words."""

from __future__ import annotations

import re

import psycopg

from tests.hostile.tally import Answer

DRIVER = "driver"
"""The driver refused the value before it was sent: a NUL, half of a surrogate pair."""

# What PostgreSQL itself says about a literal that is none of the column's type, or nested beyond its stack.
TYPING = {
    "22003": "numeric_value_out_of_range",
    "22007": "invalid_datetime_format",
    "22008": "datetime_field_overflow",
    "22021": "character_not_in_repertoire",
    "22023": "invalid_parameter_value",
    "22P02": "invalid_text_representation",
    "22P03": "invalid_binary_representation",
    "22P04": "bad_copy_file_format",
    "22P05": "untranslatable_character",
    "22009": "invalid_time_zone_displacement_value",
    "2202E": "array_subscript_error",
    "54000": "program_limit_exceeded",
    "54001": "statement_too_complex",
}
DENIED = "42501"
LONGEST_SENTENCE = 700
LONGEST_DETAIL = 1000


def refusal(error: psycopg.Error) -> Answer:
    """The answer that an error is."""
    said = error.diag
    code = said.sqlstate
    if code is None:
        wrong = "" if "NUL" in str(error) else f"lost: {error}"
        return Answer(DRIVER, wrong)
    words = f"{code}: {said.message_primary}"
    if code == DENIED:
        return Answer(code)
    if code in TYPING:
        # Out of the middle of our functions it is no word about the client's literal but an accident of ours.
        inside = _our_frame(said.context)
        return Answer(code, f"{words} (inside {inside})" if inside else "")
    if not re.fullmatch(r"CQ0\d\d", code) or code == "CQ000":
        return Answer(code, f"{words} ({_our_frame(said.context) or 'outside our functions'})")
    return Answer(code, _bad_words(said))


def _our_frame(context: str | None) -> str:
    found = re.search(r"function (calib\w*\.\w+)|SQL function (\S+)", context or "")
    return found.group(1) or found.group(2) if found else ""


def _bad_words(said: psycopg.errors.Diagnostic) -> str:
    """What is wrong with a refusal of ours; nothing if it is a short sentence that shows nothing private."""
    message = said.message_primary or ""
    whole = " ".join([message, said.message_detail or "", said.message_hint or ""])
    if not message or "\n" in message or len(message) > LONGEST_SENTENCE:
        return f"not one short sentence: {message[:200]!r}"
    if len(said.message_detail or "") > LONGEST_DETAIL:
        return f"a detail of {len(said.message_detail or '')} characters"
    for private in ("calib_private", "PL/pgSQL", "violates"):
        if private in whole:
            return f"names what is private ({private}): {message[:200]}"
    return ""
