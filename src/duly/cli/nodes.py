"""The nodes of ``duly multi``: names, and which options each of them gets. Pure.

``duly multi start 3 -A proj -Q:1,2 images -Q data -c:3 8``: a number makes so many names; an option with a colon is
for the nodes behind it, by name or, counted from 1, by place ("1", "1-3", "1,3"); it stands above the one for all.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from duly.config import did_you_mean

Options = dict[str, list[str | None]]
"""By the option's chief name its values, one for each time it was given; None for a flag's."""


class Known(NamedTuple):
    """What is known of an option as it may be typed."""

    chief: str  # the name it goes by
    takes_value: bool


class BadWords(ValueError):
    """What was typed cannot be read; the text says why."""


@dataclass
class Words:
    """A command line, taken apart."""

    values: list[str] = field(default_factory=list)  # what is no option: the names of nodes
    shared: Options = field(default_factory=dict)
    own: list[tuple[str, str, str | None]] = field(default_factory=list)  # nodes, option's chief name, value
    rest: list[str] = field(default_factory=list)  # from "--" on


def take_apart(words: Sequence[str], known: Mapping[str, Known]) -> Words:
    """``known``: the options there are, by every name that may be typed. Raises BadWords."""
    found, left = Words(), deque(words)
    while left:
        word = left.popleft()
        if word == "--":
            found.rest = [word, *left]
            break
        if not word.startswith("-") or word == "-":
            found.values.append(word)
            continue
        typed, value = _option(word, known)
        option, colon, nodes = typed.partition(":")
        if known[option].takes_value and value is None:
            if not left:
                raise BadWords(f"option {option!r} needs a value")
            value = left.popleft()
        if colon:
            found.own.append((nodes, known[option].chief, value))
        else:
            found.shared.setdefault(known[option].chief, []).append(value)
    return found


def _option(word: str, known: Mapping[str, Known]) -> tuple[str, str | None]:
    """An option, with its nodes if it has a colon, and the value that is part of the word."""
    typed, equals, value = word.partition("=")
    option = typed.partition(":")[0]
    if option in known:
        if equals and not known[option].takes_value:
            raise BadWords(f"option {option!r} takes no value")
        return typed, value if equals else None
    if not option.startswith("--") and option[:2] in known and known[option[:2]].takes_value:  # -lINFO
        return option[:2], word[2:]
    raise BadWords(f"no option {option!r}{did_you_mean(option, [name for name in known if name.startswith('--')])}")


@dataclass(frozen=True)
class Node:
    """One worker to be."""

    name: str
    host: str
    options: Options

    def __str__(self) -> str:
        return f"{self.name}@{self.host}"


def names_of(values: Sequence[str], range_prefix: str, prefix: str, suffix: str, host: str) -> list[str]:
    """``name@host`` for each value; ``3`` alone is three of them. Raises BadWords."""
    if not values:
        raise BadWords("no nodes: name them, or say how many: 3")
    names = list(values)
    if len(values) == 1 and values[0].isdigit():
        if not 1 <= int(values[0]) <= 1000:
            raise BadWords(f"{values[0]} nodes: expected 1 to 1000")
        names = [f"{range_prefix}{n}" for n in range(1, int(values[0]) + 1)]
    full = [name if "@" in name else f"{prefix}{name}{suffix}@{host}" for name in names]
    if double := sorted({name for name in full if full.count(name) > 1}):
        raise BadWords(f"node {double[0]!r} is there twice")
    return full


def with_options(names: Sequence[str], words: Words) -> list[Node]:
    """The nodes with what each gets. Raises BadWords for options of nodes that are not there."""
    short = [name.partition("@")[0] for name in names]
    own: list[Options] = [{} for _ in names]
    for nodes, option, value in words.own:
        for index in _places(nodes, short, names):
            own[index].setdefault(option, []).append(value)
    hosts = [name.partition("@")[2] for name in names]
    return [Node(name, host, words.shared | mine) for name, host, mine in zip(short, hosts, own, strict=True)]


def _places(nodes: str, short: Sequence[str], names: Sequence[str]) -> list[int]:
    found = []
    for part in nodes.split(","):
        span = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if part in names:
            found.append(list(names).index(part))
        elif part in short:
            found.append(list(short).index(part))
        elif span and 1 <= int(span[1]) <= int(span[2] or span[1]) <= len(names):
            found += range(int(span[1]) - 1, int(span[2] or span[1]))
        elif span:
            raise BadWords(f"there is no node {part}; there are {len(names)}, counted from 1")
        else:
            raise BadWords(f"there is no node {part!r}{did_you_mean(part, short)}; there are {', '.join(short)}")
    return found
