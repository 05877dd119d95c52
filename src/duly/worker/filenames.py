"""Names of log and pid files, and of workers, in which ``%n`` and its kin stand for parts of the worker's name.

In file names, as in Celery: ``%n`` is the worker's name, ``%h`` name@host, ``%d`` the host, ``%i`` the number of the
executor (0 in the supervisor) and ``%I`` the same with a dash before it (nothing in the supervisor). ``%%`` is a
percent sign.
"""

from __future__ import annotations

import re

_MARK = re.compile(r"%(.)")


def expand(text: str, name: str, host: str, index: int = 0) -> str:
    """``text`` with its marks replaced, for the supervisor (0) or an executor. ValueError for an unknown one."""
    values = {"n": name, "h": f"{name}@{host}", "d": host, "i": str(index), "I": f"-{index}" if index else ""}
    return _replace(text, values)


def node_name(text: str, host: str) -> str:
    """The worker's name out of what ``-n`` says. ``%h`` is the host, ``%n`` its first part and ``%d`` the rest; what
    stands behind an @ is left out, for the host is known. Raises ValueError."""
    first, _, domain = host.partition(".")
    name, _, _ = text.partition("@")
    return _replace(name, {"h": host, "n": first, "d": domain})


def _replace(text: str, values: dict[str, str]) -> str:
    known = values | {"%": "%"}

    def value(found: re.Match[str]) -> str:
        if found[1] not in known:
            raise ValueError(f"%{found[1]} in {text!r} stands for nothing; there are %{', %'.join(known)}")
        return known[found[1]]

    return _MARK.sub(value, text)
