"""Scrapy spiders of the user's, for sites that need code (``duly-watch[scrapy]``).

Each crawl runs in a process of its own, because Twisted's reactor cannot be started twice in one: the worker lives
on, and what a spider leaves behind ends with its process. Items come as lines of JSON while the crawl goes on, and
are handed on within half a second, so nobody waits for the end of an hour's crawl to be told of its first post.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import IO, Any

import msgspec

from watch.crawling import texts
from watch.errors import CrawlFailed, SpiderError
from watch.found import Found

BATCH = 50
PATIENCE = 0.5
"""Seconds for which an item waits for others."""
_NAME = re.compile(r"[\w.]+:\w+")


class Spider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which class it is, and what it is given."""

    spider: str
    """``module:Class``."""
    arguments: dict[str, str] = {}


class End(msgspec.Struct, frozen=True):
    """How a crawl ended: the last line."""

    finished: str
    errors: int
    items: int
    said: str


def make(raw: object) -> Spider:
    """The spider as it is stored. Raises SpiderError."""
    try:
        made = msgspec.convert(raw, Spider)
    except msgspec.ValidationError as error:
        raise SpiderError(f'spider {raw!r}: {error}; expected {{"spider": "module:Class"}}') from None
    if not _NAME.fullmatch(made.spider):
        raise SpiderError(f"spider={made.spider!r}: expected module:Class, like housing.spiders:Offers")
    return made


def run(url: str, wanted: Spider, agent: str) -> Iterator[list[Found]]:
    """What a spider finds, as it finds it.

    Raises CrawlFailed for a crawl that did not come to its end, and SpiderError for a spider that cannot be run.
    """
    if importlib.util.find_spec("scrapy") is None:
        raise SpiderError("Scrapy is not installed here: pip install 'duly-watch[scrapy]'")
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "watch.crawling.scrapy_child"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
        )  # fmt: skip
        end: End | None = None
        try:
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode({"url": url, "agent": agent, **msgspec.to_builtins(wanted)}))
            process.stdin.close()
            for lines in _batches(process.stdout):
                end = _end(lines[-1])
                if found := [_found(url, line) for line in (lines if end is None else lines[:-1])]:
                    yield found
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout and process.stdout.close()
        _judge(wanted, end, _tail(log))


def _batches(pipe: IO[bytes] | None) -> Iterator[list[bytes]]:
    """Lines, together what comes together."""
    assert pipe is not None
    rest, lines, since = b"", list[bytes](), 0.0
    ready = select.poll()  # select() ends at descriptor 1023
    ready.register(pipe, select.POLLIN)
    while True:
        wait = max(since + PATIENCE - time.monotonic(), 0.0) * 1e3 if lines else None
        more = os.read(pipe.fileno(), 65536) if ready.poll(wait) else None
        if more:
            since = since if lines else time.monotonic()
            *whole, rest = (rest + more).split(b"\n")
            lines += whole
        if lines and (not more or len(lines) >= BATCH or time.monotonic() >= since + PATIENCE):
            yield lines
            lines = []
        if more == b"":
            return


def _end(line: bytes) -> End | None:
    try:
        return msgspec.json.decode(line, type=End)
    except msgspec.DecodeError:
        return None


def _found(base: str, line: bytes) -> Found:
    """An item with ``url`` and ``title``, and maybe ``key``, ``summary`` and ``published``. Raises SpiderError."""
    item = {name: value if isinstance(value, str) else str(value) for name, value in _item(line).items()}
    url, title = texts.absolute(base, item.get("url", "")), texts.plain(item.get("title", ""), texts.MAX_TITLE)
    if not url or not title:
        raise SpiderError(f"the spider's item {item!r} has no url and title; these two a post needs")
    return Found(
        key=texts.key(item.get("key") or url),
        url=url,
        title=title,
        summary=texts.plain(item.get("summary", ""), texts.MAX_SUMMARY),
        published=texts.moment(item.get("published", "")),
    )


def _item(line: bytes) -> dict[str, Any]:
    fields = msgspec.json.decode(line, type=dict[str, Any])
    return {name: value for name, value in fields.items() if value is not None}


def _judge(wanted: Spider, end: End | None, tail: str) -> None:
    if end is None:
        raise SpiderError(f"{wanted.spider} did not run to its end: {tail or 'it said nothing'}")
    if end.finished != "finished":
        raise CrawlFailed(f"{wanted.spider} stopped: {end.finished}")
    if end.errors and not end.items:
        raise CrawlFailed(f"{wanted.spider} found nothing, and had {end.errors} errors; the last: {end.said}")


def _tail(log: IO[bytes]) -> str:
    """The last line that was said."""
    log.seek(0, os.SEEK_END)
    log.seek(max(log.tell() - 2000, 0))
    lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
