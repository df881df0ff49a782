"""Text from the database cannot control the terminal: control characters are shown as escapes."""

from __future__ import annotations

import re

# Control characters but for tab and line feed, marks that turn the direction of reading, halves of
# surrogate pairs.
_COMMANDING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""The text with such characters as ``\u001b``: the same words inside JSON.

    >>> printable("a\x1b[2Jb")
    'a\\u001b[2Jb'
    """
    return _COMMANDING.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def one_line(text: str) -> str:
    """The text on one line, printable: no text from the database can pass for a line of output."""
    return printable(" ".join(text.splitlines()))
