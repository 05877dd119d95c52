"""Who wants to be told of which post: by site, by words, or everything.

Words are whole words, whatever their case; several in one keyword stand next to each other, in this order.
Languages that are written without spaces are compared character by character. What a post costs depends on its
length, not on the number of subscribers.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # kana and Han
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")

Words = tuple[str, ...]


def words(text: str) -> Words:
    """The words of a text, as they are compared."""
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


class Wants:
    """What subscriptions ask for, indexed once for many posts."""

    def __init__(self, subscriptions: Iterable[tuple[int, int | None, list[str]]]) -> None:
        """Each is a subscriber, a site (None: every site) and keywords (none: every post)."""
        self._all: dict[int | None, set[int]] = defaultdict(set)  # by site: who wants every post of it
        self._some: dict[Words, list[tuple[int | None, int]]] = defaultdict(list)  # by keyword: site, who
        for subscriber, site, keywords in subscriptions:
            if not keywords:
                self._all[site].add(subscriber)
            for keyword in keywords:
                self._some[words(keyword)].append((site, subscriber))
        self._some.pop((), None)  # a keyword without a word is in no text
        self._lengths = sorted({len(keyword) for keyword in self._some})

    def who(self, site: int, text: str) -> set[int]:
        """The subscribers who want a post of this site with this text."""
        found = self._all[None] | self._all[site]
        told = words(text)
        for length in self._lengths:
            for begin in range(len(told) - length + 1):
                for wanted, subscriber in self._some.get(told[begin : begin + length], ()):
                    if wanted in (None, site):
                        found.add(subscriber)
        return found
