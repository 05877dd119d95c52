"""The loop that puts what the store holds on the queues of brokers.

It is a worker like others, whose jobs are done in no time: it reserves what is due, puts the messages, and
settles. Being put once whatever dies meanwhile is the putter's affair (``broker.py``); this loop keeps the store's
side of it:

1. It reserves from the inboxes that the putter has claimed, and no others.
2. What the putter knows to be put and the store does not know to be settled is settled when its job is reserved
   again: ``Putter.put`` leaves it out and does not complain.
3. While the broker does not answer, what is reserved is given back and nothing more is reserved.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence

import msgspec

from duly.clock import MICROS, Clock
from duly.errors import ConfigError, DecodeError, JobError, StoreUnavailable
from duly.gateway.publishing import BrokerAway
from duly.job import Cancel, ErrorInfo, Kind, Lease, Outcome
from duly.relay import calling, holding
from duly.relay.answers import Answers
from duly.relay.awaiting import MOST, Awaiting
from duly.relay.broker import Put, Putter, Raw
from duly.store import Store
from duly.worker.seat import Seat

log = logging.getLogger("duly.relay")

_AT_ONCE = 200  # jobs in a batch
_POLL = 1.0  # seconds between two looks for what is due, without a wake-up
_AGAIN = 5 * MICROS  # µs until a job is tried again whose queue is not there
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds between two tries while the broker does not answer
_LOOK = 0.05  # seconds between two looks for answers
_ENDS = (Kind.SUCCEEDED, Kind.FAILED, Kind.CANCELLED)
_NO_ANSWERS = (
    "this relay does not know where Celery's workers put their results, and that of {} is wanted: start it with "
    "--results redis://host/0 (or rpc://), or declare the task with ignore_result=True"
)
_HELP = "the job waits for it; a worker that consumes from it declares it"


class Putting:
    """One thread's loop for one incarnation of the worker; ``run`` it until ``stop`` is set."""

    def __init__(
        self,
        store: Store,
        seat: PuttingSeat,
        putter: Putter,
        targets: Mapping[str, str],
        answers: Answers | None,
        cancels: Callable[[], Sequence[Cancel]],
    ) -> None:
        """``targets``: the queue that each inbox is for. ``answers``: of Celery's workers; None if nobody said where
        they are. ``cancels``: the jobs that run here and were asked to stop."""
        self._store = store
        self._seat = seat
        self._putter = putter
        self._targets = targets
        self._cancels = cancels
        self._awaiting = Awaiting(store, answers)
        self._claimed: tuple[str, ...] = ()
        self._outcomes: list[Outcome] = []  # to be settled with the next exchange

    def run(self, stop: threading.Event) -> None:
        pause = _FIRST_PAUSE
        while not stop.is_set():
            try:
                self._putter.tend()
                self._claim()
                if pause > _FIRST_PAUSE:
                    log.warning("messages are put again")
                pause = _FIRST_PAUSE
                if not self._step():
                    self._seat.idle(self._claimed, _LOOK if len(self._awaiting) else _POLL)
            except (BrokerAway, StoreUnavailable) as exc:
                if pause == _FIRST_PAUSE:
                    log.error("nothing is put: %s", exc)
                self._reconnect()
                stop.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        self._outcomes += self._awaiting.released()
        self._reconnect()

    def _claim(self) -> None:
        claimed = tuple(self._putter.claim())
        for inbox in claimed:
            if inbox in self._claimed:
                continue
            log.info("puts what waits in %s on %s", inbox, self._targets[inbox])
            ids = sorted(self._putter.unsettled(inbox))
            known = self._store.results(ids)
            over = [id for id, result in zip(ids, known, strict=True) if result is None or result.state.final]
            self._putter.settled(inbox, over)
        self._claimed = claimed

    def _step(self) -> bool:
        """Settle, reserve and put; False if there was nothing to do. Raises BrokerAway."""
        self._outcomes += self._awaiting.ended(self._claimed, self._seat.now())
        self._outcomes += self._awaiting.cancelled(self._cancels(), self._seat.now())
        leases = self._exchange(min(_AT_ONCE, MOST - len(self._awaiting)))
        if leases:
            self._put(leases)
        return bool(leases)

    def _reconnect(self) -> None:
        """Let go of the broker, when it broke off and at the end; what is settled does not need it."""
        with contextlib.suppress(BrokerAway):
            self._exchange(0)
        self._putter.reconnect()
        if self._awaiting.answers is not None:
            self._awaiting.answers.close()
        self._claimed = ()

    def _exchange(self, want: int) -> list[Lease]:
        """Settle what is to be settled, and reserve. What the store took may be forgotten by the broker."""
        outcomes, self._outcomes = self._outcomes, []
        self._seat.refused.clear()
        leases = self._seat.exchange(outcomes, want if self._claimed else 0, self._claimed)
        ended: dict[str, list[str]] = {}
        for outcome in outcomes:
            if outcome.kind in _ENDS and outcome.lease.id not in self._seat.refused:
                ended.setdefault(outcome.lease.queue, []).append(outcome.lease.id)
        try:
            for inbox, ids in ended.items():
                self._putter.settled(inbox, ids)
                self._awaiting.settled(ids)
        except BrokerAway:
            self._outcomes += [Outcome(lease, Kind.RELEASED) for lease in leases]
            raise
        return leases

    def _put(self, leases: Sequence[Lease]) -> None:
        """Put these jobs' messages. Their outcomes go with the next exchange."""
        started = self._seat.now()
        to_do = list(leases)
        try:
            while to_do:
                inbox = to_do[0].queue
                batch = [lease for lease in to_do if lease.queue == inbox]
                failed = self._put_on(inbox, batch, started)
                to_do = [lease for lease in to_do if lease.queue != inbox]
                self._outcomes += [
                    self._outcome(lease, started, failed.get(lease.id))
                    for lease in batch
                    if lease.id in failed or not self._waits(lease)
                ]
        finally:  # when the broker breaks off: what it did will be seen at the next claim
            self._outcomes += [Outcome(lease, Kind.RELEASED) for lease in to_do]

    def _put_on(self, inbox: str, leases: Sequence[Lease], started: int) -> dict[str, ErrorInfo]:
        """Put these on the queue that the inbox is for; gives the errors, by id."""
        failed: dict[str, ErrorInfo] = {}
        puts: dict[str, Put] = {}
        for lease in leases:
            try:
                if self._waits(lease) and self._awaiting.was_sent(lease):
                    self._awaiting.wait_for(lease, started)
                else:
                    puts[lease.id] = Put(lease.id, self._message(lease), lease.attempt, lease.lost)
            except (DecodeError, ConfigError, JobError) as exc:
                failed[lease.id] = ErrorInfo(type=type(exc).__name__, module="duly.errors", message=str(exc))
        for id, why in self._putter.put(inbox, self._targets[inbox], list(puts.values())).items():
            failed[id] = ErrorInfo(type="NoQueue", module="duly.gateway.publishing", message=why, help=_HELP)
        sent = [lease for lease in leases if lease.id in puts and lease.id not in failed and self._waits(lease)]
        noted = [lease.id for lease in sent if self._awaiting.sent(lease, started)]
        self._putter.settled(inbox, noted)  # the store knows that they were put
        return failed

    def _waits(self, lease: Lease) -> bool:
        """Whether it is a call of ours whose answer is to be waited for."""
        return self._awaiting.wants(lease) and holding.raw_of(lease.headers) is None

    def _message(self, lease: Lease) -> Raw:
        """The message to put: the one that the job keeps, or a new one for a call of ours."""
        form, target = self._putter.form, self._targets[lease.queue]
        raw = holding.raw_of(lease.headers)
        if raw is not None:
            return holding.to_put(lease, raw, form)
        reply_to = ""
        if self._waits(lease):
            if self._awaiting.answers is None:
                raise ConfigError(_NO_ANSWERS.format(lease.task))
            reply_to = self._awaiting.answers.reply_to(lease.queue)
        return form.new(calling.message_of(lease, self._store, form, reply_to), target)

    def _outcome(self, lease: Lease, started: int, error: ErrorInfo | None) -> Outcome:
        if error is None:
            return Outcome(lease, Kind.SUCCEEDED, started, self._seat.now())
        log.error("job %s (%s) was not put: %s", lease.id, lease.task, error.message)
        data, finished = msgspec.json.encode(error), self._seat.now()
        if error.type == "NoQueue":
            return Outcome(lease, Kind.POSTPONED, started, finished, None, data, finished + _AGAIN)
        return Outcome(lease, Kind.FAILED, started, finished, None, data)


class PuttingSeat(Seat):
    """A seat that remembers what was refused: put, and not settled."""

    def __init__(self, store: Store, worker: int, queues: Sequence[str], clock: Clock) -> None:
        super().__init__(store, worker, 0, queues, _POLL, clock)
        self.refused: set[str] = set()  # ids of jobs, of the last exchange

    def report_refused(self, outcome: Outcome) -> None:
        self.refused.add(outcome.lease.id)
        super().report_refused(outcome)
