"""What an app does once, when all of its modules are imported: the moments Celery has for it.

A worker and the command line finalize the app that they load. ``on_after_configure`` is where programs add their
periodic tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from duly.errors import ConfigError
from duly.periodic import Periodic
from duly.signals import Signal


class Finalizable:
    """The part of an app that knows when it is complete."""

    _periodic: list[Periodic]

    if TYPE_CHECKING:

        @property
        def tasks(self) -> Mapping[str, Any]: ...

    def __init__(self) -> None:
        super().__init__()
        self.finalized = False
        self.on_configure = Signal("on_configure")
        self.on_after_configure = Signal("on_after_configure")
        """The settings are read. sender: the app."""
        self.on_after_finalize = Signal("on_after_finalize")
        """The tasks are known, too. sender: the app."""

    def finalize(self, auto: bool = False) -> None:
        """Send ``on_configure``, ``on_after_configure`` and ``on_after_finalize``, once. ConfigError of a receiver is
        raised: what it wanted to say of the app is missing."""
        if self.finalized:
            return
        self.finalized = True
        for signal in (self.on_configure, self.on_after_configure, self.on_after_finalize):
            for _, answer in signal.send(self):
                if isinstance(answer, ConfigError):
                    raise answer

    def add_periodic_task(
        self,
        schedule: object,
        sig: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        name: str | None = None,
        **options: Any,
    ) -> str:
        """Call a task, or a signature of one, by a rule; ``@app.periodic`` as a call. Gives the schedule's name.

        ``schedule``: crontab() and its kin, or a period as seconds or a timedelta. ``name``: unless given the task's,
        or the signature as it is written: ``tasks.greet('world')``. Raises ConfigError, later, for what is wrong.
        """
        task = sig if hasattr(sig, "codec") else sig.task
        said = name or (task.name if task is sig else self._name_of(sig))
        if task is not sig:  # a signature: it brings arguments and options
            args = (*sig.args, *args)
            kwargs = {**sig.kwargs, **(kwargs or {})}
            options = {**sig.options, **options}
        self._periodic.append(
            {"target": task, "name": said, "rule": schedule, "args": args, "kwargs": kwargs, "options": options}  # type: ignore[typeddict-item]
        )
        return str(said)

    def _name_of(self, sig: Any) -> str:
        """What a schedule of a signature is called: the call, but not where arguments are not to be shown."""
        task = self.tasks.get(sig.task)
        return str(sig.task) if task is not None and task.sensitive else repr(sig)
