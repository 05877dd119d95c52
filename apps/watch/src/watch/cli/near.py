"""What somebody who mistyped a name most likely meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(text: str, names: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the name that is alike whatever its case, or the only one that has ``text`` in it;
    else nothing."""
    known = {name.lower(): name for name in names}
    near = difflib.get_close_matches(text.lower(), known, n=1)
    if not near and len(text) > 2:
        having = [name for name in known if text.lower() in name]
        near = having if len(having) == 1 else []
    return f"; did you mean {known[near[0]]!r}?" if near else ""
