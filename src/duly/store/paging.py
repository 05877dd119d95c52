"""What every store decides alike when it is asked for jobs: the names of states, and where a page begins. Pure."""

from __future__ import annotations

import difflib

from duly.errors import ConfigError
from duly.job import STATE_NAMES, Filter

WAITING = frozenset({"scheduled", "held", "queued", "retrying"})
FINAL = {"succeeded": 2, "failed": 3, "cancelled": 4, "uncertain": 5}


def check_states(which: Filter) -> None:
    """Raises ConfigError for a name that is no state's."""
    for name in which.states or ():
        if name not in STATE_NAMES:
            guess = difflib.get_close_matches(name, STATE_NAMES, n=1)
            hint = f"; did you mean {guess[0]!r}?" if guess else ""
            raise ConfigError(f"state {name!r}: no such state{hint} Known: {', '.join(STATE_NAMES)}")


def cursor(after: str | None) -> tuple[int, int] | None:
    """The two numbers of a page's ``after``. Raises ConfigError."""
    if after is None:
        return None
    try:
        first, second = after.split(".")
        return int(first), int(second)
    except ValueError:
        raise ConfigError(f"after={after!r}: not the end of a page; hand back what the page before gave") from None
