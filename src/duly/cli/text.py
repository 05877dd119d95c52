"""Text that is safe to show. Pure.

Task names, arguments, errors and logs come from whoever may write to the store. Raw, they could move
the cursor, recolour the screen or reverse a line; escaped, they are only odd.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

_UNSAFE = (
    "\x7f-\x9f"  # DEL and the C1 controls, among them an 8-bit CSI
    "\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"  # unseen, or changing direction
    "\ud800-\udfff"  # halves of surrogate pairs, which have no UTF-8
)
_CONTROL = re.compile(f"[\x00-\x1f{_UNSAFE}]")
_CONTROL_JSON = re.compile(f"[{_UNSAFE}]")


def clean(text: str) -> str:
    """``text`` on one line with everything that is not plainly visible written as an escape."""
    return _CONTROL.sub(_escape, text)


def clean_lines(text: str) -> list[str]:
    """The lines of ``text``, each clean; tabs become spaces."""
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    return [clean(line.expandtabs(4)) for line in lines] if text else []


def decode(raw: bytes) -> str:
    """Stored bytes as text; what is not UTF-8 shows as \\xNN."""
    return raw.decode("utf-8", "backslashreplace")


def compact(raw: bytes) -> bytes | None:
    """JSON on one line with its numbers untouched, or None if it is not JSON."""
    try:
        raw.decode("utf-8")
        return msgspec.json.format(raw, indent=-1)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def safe_json(raw: bytes) -> str:
    """Encoded JSON with the characters a terminal might obey as \\uNNNN, which JSON reads the same."""
    return _CONTROL_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", decode(raw))


def shorten(text: str, limit: int) -> str:
    """``text`` cut to ``limit`` characters, with what was left out told."""
    if len(text) <= limit:
        return text
    note = f"… (+{len(text) - limit:,} characters)"
    return text[:limit] + note


def tail(text: str, width: int) -> str:
    """A dotted name cut from the left: its end is what tells it apart."""
    return text if len(text) <= width else "…" + text[len(text) - width + 1 :]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``'; did you mean "x"?'`` or nothing."""
    from duly.config import nearest

    near = nearest(word, known)
    return f"; did you mean {near!r}?" if near is not None else ""


def plural(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    named = {9: "\\t", 10: "\\n", 13: "\\r"}.get(code)
    return named or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")
