"""Text of strangers made harmless: what is shown of names, notes and messages that anybody may have written."""

from __future__ import annotations

import unicodedata

LONGEST = 200
"""Longer names are cut: nobody reads a megabyte in a table."""

LONGEST_NOTE = 1200
MOST_LINES = 30

_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")  # controls, overrides of direction, surrogates, line separators


def plain(text: str) -> str:
    r"""Return ``text`` on one line without anything that acts on its surroundings: such characters are spelled out.

    Terminal escapes, null bytes, line breaks and bidirectional overrides become ``\x1b``, ``\u202e`` and the like.
    """
    shown = text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"
    return "".join(_spelled(c) if unicodedata.category(c) in _UNSEEN else c for c in shown)


def plain_note(note: str) -> str:
    """Return a sentence or two, which may be long, made harmless; what is beyond ``LONGEST_NOTE`` is left out."""
    rest = f"… ({len(note)} characters)" if len(note) > LONGEST_NOTE else ""
    return "".join(_spelled(c) if unicodedata.category(c) in _UNSEEN else c for c in note[:LONGEST_NOTE]) + rest


def plain_lines(text: str) -> str:
    """Return a message of several lines, each made harmless; of more than ``MOST_LINES`` the first ones."""
    lines = text.split("\n")
    left_out = [f"… ({len(lines)} lines)"] if len(lines) > MOST_LINES else []
    return "\n".join([*map(plain_note, lines[:MOST_LINES]), *left_out])


def _spelled(character: str) -> str:
    point = ord(character)
    return f"\\x{point:02x}" if point < 256 else f"\\u{point:04x}" if point < 65536 else f"\\U{point:08x}"
