"""The door to Celery's lists on Redis. Needs ``duly[redis]``.

Celery pushes messages on the left of a list and pops them on the right; each priority that is used has a list of its
own, and 0 is first. Popping loses what is popped when the popper dies; so messages *move*, in one script, to a list
of this gateway's, and are deleted there when the store has them:

==================================  ====================================================================
key                                 what it is
==================================  ====================================================================
``duly:taken:STORE:ID``             list, what gateway ID has taken: the queue's name, the message, and so on
``duly:taken:STORE``                zset, when each gateway was last here (the server's seconds)
==================================  ====================================================================

STORE is a hash that names the store. Who is silent for ``_SILENT`` seconds is taken for dead, and another gateway of
the same store goes on with its list; if it was not, both store the same jobs, which are stored once. Celery's own
books of what is in flight (``unacked``) are left alone: its workers put back what they find there too old.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import redis

from duly.errors import DecodeError
from duly.gateway.adopting import redis_priority
from duly.gateway.doors import Taken
from duly.gateway.envelope import Envelope, from_redis
from duly.gateway.publishing import BrokerAway, Lists, redis_client, redis_errors
from duly.passwords import hidden, without

BATCH = 200
"""Messages that are stored in one call."""

_SILENT = 5.0  # seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.05  # seconds between two looks while there is nothing

_TAKE = """
-- KEYS: our list, the zset of gateways, then the lists in the order to take from. ARGV: our id, the beginning of the
-- names of gateways' lists, how many, how long the dead are silent, then the queue of each list.
-- What is in our list already comes first: an answer that was lost, or a store that was away. Answers our list.
local own, gateways, id = KEYS[1], KEYS[2], ARGV[1]
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', gateways, now, id)
if redis.call('EXISTS', own) == 0 then
    for _, other in ipairs(redis.call('ZRANGEBYSCORE', gateways, 0, now - tonumber(ARGV[4]))) do
        local left = ARGV[2] .. other
        redis.call('ZREM', gateways, other)
        if redis.call('EXISTS', left) == 1 then
            redis.call('RENAME', left, own)
            return redis.call('LRANGE', own, 0, -1)
        end
    end
    local want = tonumber(ARGV[3])
    for i = 3, #KEYS do
        if want == 0 then break end
        local found = redis.call('LRANGE', KEYS[i], -want, -1)
        for j = #found, 1, -1 do
            redis.call('RPUSH', own, ARGV[i + 2], found[j])
        end
        if #found > 0 then
            redis.call('LTRIM', KEYS[i], 0, -#found - 1)
            want = want - #found
        end
    end
end
return redis.call('LRANGE', own, 0, -1)
"""


class RedisDoor:
    """One server, or several of which one is used at a time."""

    def __init__(self, urls: Sequence[str], queues: Sequence[str], store: str, names: Lists) -> None:
        """``store``: the URL of the store that messages go to. Raises ConfigError."""
        self.name = ", ".join(hidden(url) for url in urls)
        self._urls = urls
        for url in urls:
            redis_client(url)
        self._next = 0  # of the URLs, which one is tried next
        self._client: redis.Redis | None = None
        self._id = secrets.token_hex(8)
        self._gateways = f"{names.prefix}duly:taken:{_hash_of(store)}"
        self._own = f"{self._gateways}:{self._id}"
        lists = [(queue, f"{names.prefix}{queue}{ending}") for ending in names.endings for queue in queues]
        self._keys = [self._own, self._gateways, *(key for _, key in lists)]
        self._words: list[str | int | float] = [
            self._id,
            f"{self._gateways}:",
            BATCH,
            _SILENT,
            *(queue for queue, _ in lists),
        ]

    def priority(self, number: int) -> int:
        return redis_priority(number)

    def open(self) -> None:
        self.give_back()
        client = redis_client(self._urls[self._next])
        try:
            with redis_errors():
                client.ping()
        except BrokerAway:
            self._next = (self._next + 1) % len(self._urls)
            raise
        self._client = client
        self._take = client.register_script(_TAKE)

    def take(self, wait: float) -> list[Taken]:
        if self._client is None:
            raise BrokerAway("not connected")
        end, pause = time.monotonic() + wait, _FIRST_PAUSE
        while True:
            with redis_errors():
                found: list[bytes] = self._take(keys=self._keys, args=self._words)
            if found or time.monotonic() >= end:
                return [_taken(*pair) for pair in zip(found[::2], found[1::2], strict=True)]
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def done(self, taken: Sequence[Taken]) -> None:
        """It is always all that was taken."""
        assert self._client is not None
        with redis_errors():
            self._client.delete(self._own)

    def give_back(self) -> None:
        """What was taken stays in our list: it may be in the store, for all that we know, and is nobody else's."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


def _hash_of(store: str) -> str:
    """A file is another store on each host."""
    named = f"{socket.gethostname()} {store}" if urlsplit(store).scheme == "sqlite" else without(store)
    return hashlib.sha256(named.encode()).hexdigest()[:16]


def _taken(queue: bytes, item: bytes) -> Taken:
    try:
        envelope = from_redis(item)
    except DecodeError:  # nothing of the kind; reading it will say so again
        envelope = Envelope(body=item, content_type="not a message of kombu's")
    return Taken(queue.decode(), envelope, None)
