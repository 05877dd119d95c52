"""What comes before a job in its canvas and what comes after it, for ``duly show``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from duly.cli.text import clean, plural
from duly.job import Filter, JobView, Result
from duly.store.contract import Store

SHOWN = 5
"""Jobs named on one line; of more, the number is told."""

_FEW = 1_000  # members of a gate that are looked at one by one


class Neighbours:
    """The jobs beside one job."""

    def __init__(self, store: Store, job: JobView) -> None:
        self._now = store.now()
        self.gate = None if job.after is None else store.gates([job.after])[0]
        few = self.gate is not None and self.gate.size <= _FEW
        self.before: Sequence[Result] = store.members(str(job.after)) if few else ()
        self.after: list[JobView] = []
        self.more_after = False
        for gate, _ in job.gates:
            page = store.jobs(Filter(after=gate), limit=SHOWN + 1)
            self.after += reversed(page.jobs)
            self.more_after = self.more_after or page.after is not None

    def facts(self) -> list[tuple[str, str]]:
        """Lines of ``duly show``."""
        return [("after", self._before_text()), ("then", self._after_text())]

    def data(self) -> dict[str, Any]:
        """What ``--json`` has of it."""
        return {
            "before": [one.id for one in self.before],
            "then": [one.id for one in self.after],
        }

    def _before_text(self) -> str:
        if self.gate is None:
            return ""
        gate = self.gate
        ended = f"{gate.size - gate.left:,} of {plural(gate.size, 'job')} ended"
        failed = f", {gate.failed:,} without success (first {clean(gate.first_failed or '')})" if gate.failed else ""
        if not self.before:
            return ended + failed
        named = [f"{clean(one.id)} ({one.state_name(self._now)})" for one in self.before[:SHOWN]]
        if gate.size == 1:
            return named[0]
        return f"{ended}{failed}: {_list(named, len(self.before) > SHOWN)}"

    def _after_text(self) -> str:
        named = [f"{clean(one.task)} {clean(one.id)} ({one.state_name(self._now)})" for one in self.after[:SHOWN]]
        return _list(named, len(self.after) > SHOWN or self.more_after)


def _list(named: list[str], more: bool) -> str:
    return ", ".join([*named, "..."] if more else named)
