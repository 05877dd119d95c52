"""``solar``: dawn, sunrise, noon, sunset and dusk at a place, to the minute.

The formulas are those of the NOAA Global Monitoring Laboratory's solar calculator
(https://gml.noaa.gov/grad/solcalc/calcdetails.html), which are the low-accuracy ones of Jean Meeus, Astronomical
Algorithms, 2nd ed., chapters 25 and 28. They hold to about a minute between 72 degrees north and south, and to
some minutes nearer the poles, where the sun crosses the horizon at a flat angle and the weather decides.

Each occurrence is computed from the number of its day and rounded to the minute: so it is the same from
wherever it is asked for, and the last bits of a host's sine do not show.

What can go wrong: in polar day and night an event does not happen; the rule then goes on to the next day on which
it does, and has no next occurrence when there is none for 400 days (at the poles themselves).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Hashable, Mapping
from math import acos, asin, cos, degrees, radians, sin, tan
from typing import Any, ClassVar

from duly.clock import MICROS
from duly.errors import ConfigError
from duly.schedules.rule import Rule, Spec
from duly.schedules.zone import FIRST, LAST

_DAY = 86_400
_SEARCH = 400  # days
_DISC = -0.833  # degrees: the sun's upper edge on the horizon, with 34' of refraction and 16' of radius

_EVENTS: dict[str, tuple[int, float]] = {
    "dawn_astronomical": (-1, -18.0),
    "dawn_nautical": (-1, -12.0),
    "dawn_civil": (-1, -6.0),
    "sunrise": (-1, _DISC),
    "solar_noon": (0, 0.0),
    "sunset": (1, _DISC),
    "dusk_civil": (1, -6.0),
    "dusk_nautical": (1, -12.0),
    "dusk_astronomical": (1, -18.0),
}
"""Celery's names: the side of noon, and the height of the sun's centre in degrees."""


class Solar(Rule):
    """A rule of one event of the sun at a place: degrees north and degrees east. Raises ConfigError."""

    kind: ClassVar[str] = "solar"

    def __init__(self, event: str, lat: float, lon: float) -> None:
        if event not in _EVENTS:
            near = difflib.get_close_matches(str(event), _EVENTS, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(f"event={event!r} is unknown; {hint}allowed are {', '.join(_EVENTS)}")
        self.event = event
        self.lat = _coordinate("lat", lat, 90)
        self.lon = _coordinate("lon", lon, 180)

    def next_after(self, instant: int) -> int | None:
        second = max(instant // MICROS, FIRST)
        if second >= LAST:
            return None
        first = self._day(second)
        for day in range(first - 1, first + _SEARCH):
            found = self._on(day)
            if found is not None and found > second:
                return found * MICROS
        return None

    def previous(self, instant: int) -> int | None:
        second = min((instant - 1) // MICROS, LAST)
        if second <= FIRST:
            return None
        last = self._day(second)
        for day in range(last + 1, last - _SEARCH, -1):
            found = self._on(day)
            if found is not None and found <= second:
                return found * MICROS if found > FIRST else None
        return None

    def describe(self) -> str:
        name = " ".join(reversed(self.event.split("_"))) if self.event.startswith("d") else self.event
        place = (
            f"{abs(self.lat):g} {'N' if self.lat >= 0 else 'S'}, {abs(self.lon):g} {'E' if self.lon >= 0 else 'W'}"
        )
        return f"at {name.replace('_', ' ')} at {place}"

    def to_spec(self) -> Spec:
        return {"kind": self.kind, "event": self.event, "lat": self.lat, "lon": self.lon}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Solar:
        return cls(spec["event"], spec["lat"], spec["lon"])

    def _meaning(self) -> Hashable:
        return ("solar", self.event, self.lat, self.lon)

    def _day(self, second: int) -> int:
        """The number of the day, midnight to midnight by the place's mean sun, that ``second`` is in."""
        return math.floor((second + self.lon * 240) / _DAY)

    def _on(self, day: int) -> int | None:
        """The second of the event on that day, a whole minute; None when it does not happen."""
        side, height = _EVENTS[self.event]
        noon = day * _DAY + _DAY / 2 - self.lon * 240
        moment = noon
        for _ in range(3):  # what is computed depends on the moment that is sought; it settles at once
            declination, equation = sun_at(moment)
            angle = _hour_angle(self.lat, declination, height) if side else 0.0
            if angle is None:
                return None
            moment = noon - equation * 60 + side * angle * 240
        return round(moment / 60) * 60


def _hour_angle(lat: float, declination: float, height: float) -> float | None:
    """How far, in degrees of the earth's turn, the sun is from noon at that height; None when it never is there."""
    across = cos(radians(lat)) * cos(declination)
    if across < 1e-9:
        return None
    cosine = (sin(radians(height)) - sin(radians(lat)) * sin(declination)) / across
    return degrees(acos(cosine)) if -1 <= cosine <= 1 else None


def sun_at(second: float) -> tuple[float, float]:
    """The sun's declination in radians and the equation of time in minutes (NOAA, columns F to V)."""
    century = (second / _DAY + 2_440_587.5 - 2_451_545) / 36_525  # Julian centuries since 2000
    mean_longitude = radians((280.46646 + century * (36_000.76983 + century * 0.0003032)) % 360)
    anomaly = radians(357.52911 + century * (35_999.05029 - century * 0.0001537))
    eccentricity = 0.016708634 - century * (0.000042037 + century * 0.0000001267)
    centre = (
        sin(anomaly) * (1.914602 - century * (0.004817 + century * 0.000014))
        + sin(2 * anomaly) * (0.019993 - century * 0.000101)
        + sin(3 * anomaly) * 0.000289
    )
    node = radians(125.04 - century * 1_934.136)
    longitude = mean_longitude + radians(centre - 0.00569 - 0.00478 * sin(node))
    ecliptic = 23 + (26 + (21.448 - century * (46.815 + century * (0.00059 - century * 0.001813))) / 60) / 60
    obliquity = radians(ecliptic + 0.00256 * cos(node))
    square = tan(obliquity / 2) ** 2
    equation = (
        square * sin(2 * mean_longitude)
        - 2 * eccentricity * sin(anomaly)
        + 4 * eccentricity * square * sin(anomaly) * cos(2 * mean_longitude)
        - square**2 / 2 * sin(4 * mean_longitude)
        - 1.25 * eccentricity**2 * sin(2 * anomaly)
    )
    return asin(sin(obliquity) * sin(longitude)), 4 * degrees(equation)


def _coordinate(name: str, value: float, limit: int) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not -limit <= value <= limit:
        raise ConfigError(f"{name}={value!r} is not a place; allowed are -{limit} to {limit} degrees")
    return float(value)
