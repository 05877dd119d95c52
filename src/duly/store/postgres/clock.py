"""A server's clock, known without asking it each time.

Every answer that says what time it is at the server bounds its clock from below: by the time we read it, at least
that much has passed there. The best of these bounds in the last minute is what ``now`` goes by, so it is never ahead
of the server (but for what two clocks drift apart in a minute), behind by no more than a quick answer takes on its
way, and never before an instant that the server has just told us. This host's wall clock does not come into it.
"""

from __future__ import annotations

from collections.abc import Callable

from duly.clock import MICROS, Clock

_SPAN = 30.0  # seconds; a bound counts for one to two of these
_STALE = 60.0  # seconds without an answer after which the server is asked
_JUMP = 0.05  # seconds by which the wall clock may move against the monotonic one: more is a suspend, or was set


class ServerClock:
    """See the module's text. Safe from any thread: what it keeps is replaced as a whole."""

    def __init__(self, host: Clock, ask: Callable[[], int]) -> None:
        """``ask``: one round trip; gives the server's clock, in µs, and need not call ``told``."""
        self._host = host
        self._ask = ask
        self._bounds: tuple[float, int, int] | None = None  # since (monotonic), best of this span, of the one before
        self._heard = 0.0  # monotonic
        self._wall = 0.0  # wall minus monotonic when we heard

    def told(self, instant: int) -> None:
        """The server has just said that this is its time."""
        mono = self._host.monotonic()
        offset = instant - int(mono * MICROS)
        if self._bounds is None or mono - self._bounds[0] > 2 * _SPAN or self._jumped(mono):
            self._bounds = (mono, offset, offset)
        else:
            since, best, before = self._bounds
            if mono - since > _SPAN:
                self._bounds = (mono, offset, best)
            elif offset > best:
                self._bounds = (since, offset, before)
        self._heard = mono
        self._wall = self._host.now() / MICROS - mono

    def now(self) -> int:
        """The server's clock, in µs. Raises StoreError if it has to be asked and does not answer."""
        self._hear(_STALE)
        assert self._bounds is not None
        return int(self._host.monotonic() * MICROS) + max(self._bounds[1], self._bounds[2])

    def freshen(self) -> None:
        """Ask now if ``now`` may have to soon: for who begins a transaction, in the middle of which nobody can."""
        self._hear(_STALE / 2)

    def _hear(self, patience: float) -> None:
        """Ask, if the server has said nothing for so many seconds."""
        mono = self._host.monotonic()
        if self._bounds is None or mono - self._heard > patience or self._jumped(mono):
            self.told(self._ask())

    def _jumped(self, mono: float) -> bool:
        return abs(self._host.now() / MICROS - mono - self._wall) > _JUMP
