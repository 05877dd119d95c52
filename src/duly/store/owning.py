"""What stores decide alike about stored schedules: what of them counts as a change, and whose a name is. Pure."""

from __future__ import annotations

import msgspec

from duly.errors import ConfigError
from duly.job import Schedule


def definition(schedule: Schedule) -> Schedule:
    """A schedule without what the store keeps of it."""
    return msgspec.structs.replace(schedule, owner=None, revision=0, paused=False, next=None, last=None)


def check_owner(before: Schedule, wanted: Schedule) -> None:
    """Raises ConfigError if the name belongs to somebody else."""
    if before.owner == wanted.owner:
        return
    who = f"app {wanted.owner!r} declares" if wanted.owner is not None else "you want to store"
    whose = f"the code of app {before.owner!r} declares one" if before.owner is not None else "one was stored by hand"
    raise ConfigError(
        f"schedule {before.name!r}: {who} it, but {whose} of this name; choose another name or remove that one"
    )


def check_removable(schedule: Schedule) -> None:
    """Raises ConfigError for one that an app's code declares."""
    if schedule.owner is not None:
        raise ConfigError(
            f"schedule {schedule.name!r} is declared by the code of app {schedule.owner!r}, which would declare it "
            "again; remove it there, or pause it"
        )
