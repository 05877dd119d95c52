"""What every recurring rule can do.

A rule is a pure function of time: given an instant it names the next occurrence. It keeps no state and
reads no clock, so workers that compute the same rule over the same time zone data get the same
instants, to the microsecond; that is what lets an occurrence be its own primary key.

What can go wrong: a rule that cannot be meant (a misspelt day, 31 April) is refused when it is made, as a
:class:`~duly.errors.ConfigError`. Asking a rule that exists never raises.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, ClassVar

Spec = dict[str, str | int | float]
"""A rule as it is stored: JSON values only, ``kind`` says which rule. Old specs stay readable for ever."""


class Rule(ABC):
    """A recurring rule. Immutable; equal and hashed by what it means, not by how it was written."""

    kind: ClassVar[str]

    @property
    def tz(self) -> str | None:
        """The name of the zone whose clocks the rule reads; None when :meth:`bind` may still choose one."""
        return None

    def bind(self, tz: str) -> Rule:
        """This rule in the zone ``tz``, if it has none of its own and needs one; else the rule itself."""
        return self

    @abstractmethod
    def next_after(self, instant: int) -> int | None:
        """The first occurrence strictly after ``instant`` (both µs UTC); None when there is none."""

    @abstractmethod
    def previous(self, instant: int) -> int | None:
        """The last occurrence strictly before ``instant`` (both µs UTC); None when there is none."""

    @abstractmethod
    def describe(self) -> str:
        """The rule in plain English."""

    @abstractmethod
    def to_spec(self) -> Spec:
        """The rule as JSON values, from which :func:`~duly.schedules.from_spec` makes an equal one."""

    @classmethod
    @abstractmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Rule:
        """The rule of a spec of this kind. Raises ConfigError."""

    @abstractmethod
    def _meaning(self) -> Hashable:
        """What two rules must have in common to be equal."""

    def walk(self, instant: int) -> Iterator[int]:
        """The occurrences strictly after ``instant``, in order, for as long as there are any."""
        found = self.next_after(instant)
        while found is not None:
            yield found
            found = self.next_after(found)

    def between(self, after: int, until: int, limit: int) -> list[int]:
        """The first ``limit`` occurrences later than ``after`` and not later than ``until`` (µs UTC).

        The two ends fit together: what one call leaves out at its end the next one, started there, finds.
        """
        found: list[int] = []
        if limit <= 0:
            return found
        for occurrence in self.walk(after):
            if occurrence > until:
                break
            found.append(occurrence)
            if len(found) == limit:
                break
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rule):
            return NotImplemented
        return self._meaning() == other._meaning()

    def __hash__(self) -> int:
        return hash(self._meaning())

    def __reduce__(self) -> tuple[Callable[[Mapping[str, Any]], Rule], tuple[Spec]]:
        return type(self).from_spec, (self.to_spec(),)

    def __repr__(self) -> str:
        words = (f"{name}={value!r}" for name, value in self.to_spec().items() if name != "kind")
        return f"{self.kind}({', '.join(words)})"
