"""``duly move-store FROM TO``: empty one store into another while producers and workers go on."""

from __future__ import annotations

import click

from duly.cli.root import Verb
from duly.cli.session import NOT_YET, Session, pass_session
from duly.cli.text import plural
from duly.errors import ConfigError
from duly.moving import Mover, move_back
from duly.moving import seal as seal_store
from duly.passwords import without
from duly.store import open as open_store


@click.command("move-store", cls=Verb)
@click.argument("old", metavar="FROM")
@click.argument("new", metavar="TO", required=False)
@click.option("--follow", is_flag=True, help="Go on when FROM is empty, for producers that still store jobs there.")
@click.option("--seal", is_flag=True, help="When FROM is empty: let it refuse jobs from then on, naming TO.")
@click.option(
    "--undo", is_flag=True, help="End a move: workers of FROM start jobs again. What was moved stays in TO."
)
@pass_session
def move_store(session: Session, old: str, new: str | None, follow: bool, seal: bool, undo: bool) -> None:
    """Move all jobs, schedules and limits from the store FROM to the store TO (URLs both).

    From its first moment nothing starts in FROM any more; what runs there ends there and is moved then. Start
    workers on TO when it has begun, give producers the new URL whenever it suits you, and run it once more with
    --seal at the end. Killed, it is simply started again.
    """
    if undo:
        _undo(session, old)
        return
    if new is None:
        raise click.UsageError("say where to: duly move-store FROM TO")
    mover = _mover(old, new)
    try:
        mover.run(lambda mover, running: _report(session, mover, running), follow)
        if seal and not seal_store(mover.old):
            session.note("Not sealed: jobs have come meanwhile. Run it again when no producer uses FROM any more.")
            session.leave(NOT_YET)
    except KeyboardInterrupt:
        session.note(f"\nStopped; {plural(mover.moved, 'job')} moved. Nothing is lost: run it again to go on.")
        raise
    finally:
        mover.old.close()
        mover.new.close()
    session.print(f"Moved {plural(mover.moved, 'job')} to {without(new)}.{' FROM is sealed.' if seal else ''}")


def _mover(old: str, new: str) -> Mover:
    if without(old) == without(new):
        raise ConfigError(f"FROM and TO are both {without(old)}; give the URL of another store")
    return Mover(open_store(old, create=False), open_store(new))


def _undo(session: Session, old: str) -> None:
    store = open_store(old, create=False)
    try:
        moving = move_back(store)
    finally:
        store.close()
    if moving is None:
        raise ConfigError(f"{without(old)} is not being moved, so there is nothing to undo")
    session.print(f"The move to {moving.to} is ended; what was moved stays there.")


def _report(session: Session, mover: Mover, running: int) -> None:
    waits = f"; {plural(running, 'job')} still running in FROM" if running else ""
    session.progress(f"{mover.moved:,} moved{waits}")
