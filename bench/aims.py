"""What figures are meant to be, and whether they are."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from bench.tables import Values


@dataclass(frozen=True)
class Aim:
    """What a figure is meant to be."""

    program: str
    text: str
    holds: Callable[[float], bool]
    key: str
    unit: str
    over: str = ""  # the side it is a multiple of; "": the figure itself
    side: str = "duly"  # whose figure


def least(value: float) -> Callable[[float], bool]:
    return lambda figure: figure >= value


def below(value: float) -> Callable[[float], bool]:
    return lambda figure: figure < value


def none(figure: float) -> bool:
    return figure == 0


def print_aim(aim: Aim, values: Values) -> None:
    figures = values.get(aim.side, {}).get(aim.key)
    base = values.get(aim.over, {}).get(aim.key)
    if not figures or (aim.over and not base):
        print(f"    -  {aim.text}: not measured")
        return
    figure = statistics.median(figures) / (statistics.median(base) if base else 1)
    places = 0 if figure >= 100 or not figure % 1 else 2
    print(f"  {'yes' if aim.holds(figure) else ' NO'}  {aim.text:50} {figure:>10,.{places}f} {aim.unit}")
