"""What has to happen when a provider did not accept a notice. Each has a reason that is written for a person."""

from __future__ import annotations


class NotAccepted(Exception):
    """The root of them; never raised itself."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Dead(NotAccepted):
    """Nobody will ever be reached there: forget the address."""


class Refused(NotAccepted):
    """This notice is not taken, and would not be the next time; the address is good for others."""


class Later(NotAccepted):
    """This notice, to this address, later."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        """``after``: seconds; None: as the number of attempts says."""
        super().__init__(reason)
        self.after = after


class Closed(Later):
    """Nothing to this provider for a while, whoever it is for."""

    after: float

    def __init__(self, reason: str, after: float) -> None:
        super().__init__(reason, after)
