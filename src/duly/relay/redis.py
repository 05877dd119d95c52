"""Celery's lists on Redis: every step is one script, so it happens or does not.

Celery pushes on the left of a list and pops on the right; each step of priorities has a list of its own, which a
message keeps on its way.

==============================  ========================================================================
key                             what it is
==============================  ========================================================================
``duly:relay:taken:INBOX:ID``   list, what relay ID has taken: the list it is from, a line feed, the message
``duly:relay:alive:INBOX``      zset, when each relay was here last (the server's seconds)
``duly:relay:put:JOB``          the number of the attempt that put the job's message, for a day
==============================  ========================================================================

All names have Celery's ``global_keyprefix`` before them, if it has one.

Taking moves messages to a list of ours; passing one on moves it from there, if it is there still. Who is silent for
``_SILENT`` seconds is taken for dead, and another relay takes over its list; if it was not dead, what it does then
finds nothing. A message that is put leaves the number of its attempt: an attempt after a lost one, one that does not
know whether it has put, and one that was frozen while another did, find it there, and leave it at that.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Mapping, Sequence

from duly.errors import DecodeError
from duly.gateway.adopting import redis_priority
from duly.gateway.envelope import Envelope, from_redis, to_redis
from duly.gateway.publishing import KOMBU, Lists, on_redis, redis_client, redis_errors
from duly.relay.broker import Put, Raw, Taken

_BATCH = 200  # messages
_SILENT = 5  # seconds
_MARKED = 86_400  # seconds that a put is remembered
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.05  # seconds between two looks while there is nothing
_NAMES = "duly:relay:"

_TAKE = """
-- KEYS: our list, the zset, the inboxes' lists in the order to take from. ARGV: our id, the beginning of the names of
-- relays' lists, how many, how long the dead are silent. Gives: whether it was taken before, and our list.
local own, alive = KEYS[1], KEYS[2]
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', alive, now, ARGV[1])
if redis.call('EXISTS', own) == 1 then return {1, redis.call('LRANGE', own, 0, -1)} end
for _, other in ipairs(redis.call('ZRANGEBYSCORE', alive, 0, now - tonumber(ARGV[4]))) do
    redis.call('ZREM', alive, other)
    local left = ARGV[2] .. other
    if redis.call('EXISTS', left) == 1 then
        redis.call('RENAME', left, own)
        return {1, redis.call('LRANGE', own, 0, -1)}
    end
end
local want = tonumber(ARGV[3])
for i = 3, #KEYS do
    local found = want > 0 and redis.call('LRANGE', KEYS[i], -want, -1) or {}
    for j = #found, 1, -1 do
        redis.call('RPUSH', own, KEYS[i] .. '\\n' .. found[j])
    end
    if #found > 0 then redis.call('LTRIM', KEYS[i], 0, -#found - 1) end
    want = want - #found
end
return {0, redis.call('LRANGE', own, 0, -1)}
"""

_FINISH = """
-- KEYS: our list, then for each item the list to pass it on to, or our list again if it is kept. ARGV: the items.
for i, item in ipairs(ARGV) do
    local target = KEYS[i + 1]
    if redis.call('LREM', KEYS[1], 1, item) == 1 and target ~= KEYS[1] then
        redis.call('LPUSH', target, string.sub(item, string.find(item, '\\n', 1, true) + 1))
    end
end
"""

_PUT = """
-- KEYS: for each message its mark and its list. ARGV: how long marks stay, then for each: attempt, lost, message.
for i = 1, #KEYS / 2 do
    local attempt, lost, item = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), ARGV[3 * i + 1]
    local mark = tonumber(redis.call('GET', KEYS[2 * i - 1]) or '0')
    if mark == 0 or (mark < attempt and lost == 0) then
        redis.call('SET', KEYS[2 * i - 1], attempt, 'EX', ARGV[1])
        redis.call('LPUSH', KEYS[2 * i], item)
    end
end
"""


class RedisForm:
    """An item of a list."""

    def __init__(self, lists: Lists = KOMBU) -> None:
        self._lists = lists

    def envelope(self, raw: Raw) -> Envelope:
        try:
            return from_redis(raw.body)
        except DecodeError:  # nothing of the kind; reading it will say so again
            return Envelope(body=raw.body, content_type="not a message of kombu's")

    def changed(self, raw: Raw, envelope: Envelope) -> Raw:
        return Raw(body=to_redis(envelope), step=self._lists.ending(envelope))

    def new(self, envelope: Envelope, queue: str) -> Raw:
        return Raw(body=to_redis(on_redis(queue, envelope)), step=self._lists.ending(envelope))

    def priority(self, number: int) -> int:
        return redis_priority(number)


class _Client:
    def __init__(self, url: str, inboxes: Collection[str], lists: Lists = KOMBU) -> None:
        """Raises ConfigError."""
        self.form = RedisForm(lists)
        self._lists = lists
        self._client = redis_client(url)
        self._inboxes = tuple(inboxes)

    def has(self, queues: Collection[str]) -> set[str]:
        """A queue of Redis is there as soon as something is put on it."""
        return set(queues)

    def reconnect(self) -> None:
        """The client connects anew by itself."""

    def close(self) -> None:
        self._client.close()


class RedisIntake(_Client):
    def __init__(self, url: str, inboxes: Collection[str], lists: Lists = KOMBU) -> None:
        super().__init__(url, inboxes, lists)
        self._id = secrets.token_hex(8)
        self._take = self._client.register_script(_TAKE)
        self._finish = self._client.register_script(_FINISH)

    def take(self, wait: float) -> list[Taken]:
        end, pause = time.monotonic() + wait, _FIRST_PAUSE
        while True:
            found = [taken for inbox in self._inboxes for taken in self._take_from(inbox)]
            if found or time.monotonic() >= end:
                return found
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def finish(self, kept: Sequence[Taken], forward: Sequence[tuple[Taken, str]]) -> list[Taken]:
        for inbox in self._inboxes:
            own = self._own(inbox)
            ends = [(one.tag, own) for one in kept if one.inbox == inbox]
            prefix = self._lists.prefix
            ends += [(one.tag, prefix + queue + one.raw.step) for one, queue in forward if one.inbox == inbox]
            if ends:
                with redis_errors():
                    self._finish(keys=[own, *(target for _, target in ends)], args=[item for item, _ in ends])
        return []

    def _take_from(self, inbox: str) -> list[Taken]:
        begin = self._lists.prefix + inbox
        lists = [begin + ending for ending in self._lists.endings]
        keys = [self._own(inbox), f"{self._lists.prefix}{_NAMES}alive:{inbox}", *lists]
        with redis_errors():
            again, found = self._take(keys=keys, args=[self._id, self._own(inbox, ""), _BATCH, _SILENT])
        return [_taken(inbox, begin, item, bool(again)) for item in found]

    def _own(self, inbox: str, id: str | None = None) -> str:
        return f"{self._lists.prefix}{_NAMES}taken:{inbox}:{self._id if id is None else id}"


class RedisPutter(_Client):
    def __init__(self, url: str, inboxes: Collection[str], lists: Lists = KOMBU) -> None:
        super().__init__(url, inboxes, lists)
        self._put = self._client.register_script(_PUT)

    def claim(self) -> Sequence[str]:
        """All of them: who puts what is decided message by message."""
        return self._inboxes

    def unsettled(self, inbox: str) -> Collection[str]:
        return ()

    def put(self, inbox: str, target: str, messages: Sequence[Put]) -> Mapping[str, str]:
        keys: list[str] = []
        words: list[bytes | int] = [_MARKED]
        for one in messages:
            keys += [f"{self._lists.prefix}{_NAMES}put:{one.id}", self._lists.prefix + target + one.raw.step]
            words += [one.attempt, one.lost, one.raw.body]
        with redis_errors():
            self._put(keys=keys, args=words)
        return {}

    def settled(self, inbox: str, ids: Collection[str]) -> None:
        """The marks go by themselves."""

    def tend(self) -> None:
        with redis_errors():
            self._client.ping()


def _taken(inbox: str, begin: str, item: bytes, again: bool) -> Taken:
    """``begin``: of the names of the inbox's lists."""
    key, _, body = item.partition(b"\n")
    return Taken(inbox, Raw(body=body, step=key.decode().removeprefix(begin)), item, again)
