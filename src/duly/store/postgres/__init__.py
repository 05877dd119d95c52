"""The store on a PostgreSQL server.

``schema_1.sql`` has the tables, ``functions_1.sql`` the hot path, ``statements.sql`` every other statement;
``connecting.py`` a connection and its errors, ``database.py`` transactions and trying again, ``exchanging.py`` the
hot path, ``quick.py`` its statements past psycopg's cursors, ``waking.py`` NOTIFY, ``clock.py`` the server's
clock. What it does with them is in ``store.sql``.
"""

from __future__ import annotations

from collections.abc import Sequence

from duly.clock import SYSTEM, Clock
from duly.errors import StoreError
from duly.job import Enqueued, Exchange, Gate, Job, Outcome, Rescued
from duly.messages import Finding
from duly.store.contract import Channel, Listener
from duly.store.postgres import examining, producing
from duly.store.postgres.arrays import Texts
from duly.store.postgres.database import Database
from duly.store.postgres.exchanging import Exchanger, asks_for_long_way
from duly.store.postgres.joining import Joiner
from duly.store.postgres.sql import Session
from duly.store.postgres.sweeping import Sweeper
from duly.store.postgres.url import parse
from duly.store.postgres.waking import Waker
from duly.store.sql.gates import Closed
from duly.store.sql.rules import Rules
from duly.store.sql.store import SqlStore

__all__ = ["PostgresStore"]


class PostgresStore(SqlStore):
    """A store on a server, for any number of hosts (see ``contract.Store``).

    1. Made from a URL; nothing is touched yet.
    2. The first call connects, and makes the schema if there is none (unless ``create`` is False).
    3. ``close`` lets go; a later call connects again.
    """

    capabilities = frozenset({"transactions"})
    durability = (
        "what was acknowledged survives a crash of the server (unless fsync or synchronous_commit is off there)"
    )

    def __init__(self, url: str, clock: Clock = SYSTEM, create: bool = True) -> None:
        self.place = parse(url)
        self._driven = None if clock is SYSTEM else clock  # a clock that tests drive stands for the server's
        self._server = Database(self.place, create, SYSTEM)
        self._waker = Waker(self._server.connect_apart, self._server.statements)
        super().__init__(self.place.name, self._server)
        self._exchanger = Exchanger(self, self._server)
        self._joiner = Joiner(self._server)
        self._sweeper = Sweeper(self._server, SYSTEM)

    def now(self) -> int:
        return self._driven.now() if self._driven else self._server.clock.now()

    @property
    def instant(self) -> int | None:
        """The instant that statements go by; None: the server's own clock as they run."""
        return self._driven.now() if self._driven else None

    # -- what a server does better ---------------------------------------------------------------

    def enqueue(self, jobs: Sequence[Job], gates: Sequence[Gate] = ()) -> list[Enqueued]:
        """One statement, or two for a job that is there already, unless there are keys or gates to be looked at."""
        if not jobs or gates or any(job.key is not None or job.gates or job.after is not None for job in jobs):
            return super().enqueue(jobs, gates)
        if len(jobs) == 1:
            stored = self._server.call_durably("enqueue_one", producing.one(self.instant, jobs[0]))
            if stored:
                self.hear(stored[0][0])
                return [Enqueued(jobs[0].id, True)]
        try:
            ((told, stored),) = self._server.call("enqueue", producing.values(self.instant, jobs))
        except StoreError as exc:
            if asks_for_long_way(exc):
                return super().enqueue(jobs, gates)
            raise
        self.hear(told)
        return producing.answers(jobs, stored)

    def exchange(
        self,
        worker: int,
        slot: int,
        outcomes: Sequence[Outcome],
        want: int,
        queues: Sequence[str],
        expect: bool = False,
    ) -> Exchange:
        return self._exchanger.exchange(worker, slot, outcomes, want, queues)

    def reserve_hastily(self, worker: int, slot: int, want: int, queues: Sequence[str]) -> Exchange:
        """See ``hasty.Hasty``."""
        return self._exchanger.exchange(worker, slot, (), want, queues, hasty=True)

    def confirm(self, worker: int, slot: int) -> bool:
        """See ``hasty.Hasty``."""
        return self._exchanger.confirm(worker, slot)

    def next_due(self, queues: Sequence[str]) -> int | None:
        """One question, where the rules are as they were."""
        known = self._rules
        opened = Texts(q for q in dict.fromkeys(queues) if not known.moving and q not in known.paused)
        ((version, due, told),) = self._server.call("due_next", [opened])
        if version != self._rules.version:
            self._server.read(self.current_rules)
            return self.next_due(queues)
        self.hear(told)
        return None if due is None else int(due)

    def abandon(self, worker: int, slot: int, started: Sequence[str], error: bytes, max_lost: int) -> list[Rescued]:
        """What the executor had begun when it died has happened before, or does not happen any more."""
        self._exchanger.bar(worker, slot)
        return super().abandon(worker, slot, started, error, max_lost)

    def enqueue_within(self, connection: object, jobs: Sequence[Job]) -> list[Enqueued]:
        """See ``contract.Joining``."""
        return self._joiner.enqueue(connection, jobs, self.now()) if jobs else []

    def prune(self, before: int, failed_before: int, limit: int) -> int:
        gone = super().prune(before, failed_before, limit)
        self._server.write(lambda db: db.run("delete_seats"))
        return gone

    # -- waiting and looking ---------------------------------------------------------------------

    def listen(self, channel: Channel) -> Listener:
        self._server.peek(lambda _: None)  # the schema has to be there
        return self._waker.listen(channel)

    def notify(self, channel: Channel) -> None:
        self._server.call("notify", [self._server.statements.channel(channel)])
        if self._waker.deaf:
            self._waker.notify(channel)

    def examine(self) -> list[Finding]:
        return self._server.read(lambda db: examining.examine(db, self._server))

    def maintain(self) -> None:
        super().maintain()
        self._sweeper.sweep()

    def migrate(self) -> list[int]:
        return self._server.migrate()

    def close(self) -> None:
        self._waker.close()
        self._server.close()

    # -- what the hot path asks ------------------------------------------------------------------

    @property
    def rules(self) -> Rules:
        return self._rules

    def current_rules(self, db: Session) -> Rules:
        return self._current_rules(db)

    def hear(self, clock: int) -> None:
        """The server said what time it is."""
        if not self._driven:
            self._server.clock.told(clock)

    def wake_after(self, outcomes: Sequence[Outcome], expired: bool, closed: Closed, now: int) -> None:
        self._wake_after(outcomes, expired, closed, now)
