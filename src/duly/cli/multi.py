"""``multi``: several workers of a host, started in the background and stopped by their pid files.

``start`` runs ``duly worker --detach`` for each node and waits until it is ready. What was said at the start is not
remembered: ``stop`` and ``restart`` have to be told the same nodes and pid files.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import click

from duly.cli.nodes import BadWords, Known, Node, names_of, take_apart, with_options
from duly.cli.pidfile import holder
from duly.cli.root import Verb, common_options
from duly.cli.session import NOT_DONE, Session
from duly.cli.text import clean, did_you_mean
from duly.worker import filenames

POLL = 0.1  # seconds between looks whether a worker has ended

_OWN = {
    "--range-prefix": True, "--prefix": True, "--suffix": True, "--hostname": True, "--executable": True,
    "--pidfile": True, "--logfile": True, "--verbose": False, "--nosplash": False, "--quiet": False,
    "--no-color": False,
}  # fmt: skip
"""Options that are multi's own: whether a value follows."""

HELP = """Start and stop several workers of this host.

\b
  duly multi start 3 -A proj -c 4 -l INFO     worker1, worker2, worker3
  duly multi start w1 w2 -A proj -Q:w1 images,video -Q data -c:1-2 3
  duly multi restart 3 -A proj -c 4 -l INFO
  duly multi stopwait 3

\b
Verbs
  start      start the nodes and wait until they are ready
  stop       tell the nodes to finish what runs and leave (-QUIT: at once)
  stopwait   the same, and wait until they have left (also stop_verify)
  restart    stop each, wait, and start it again
  kill       end the nodes now; their jobs run again elsewhere
  show       print the commands that start would run
  get        print the command of one node: get NODE nodes...
  names      print the names of the nodes
  expand     print TEMPLATE for each node: expand %n.log nodes...
  help       print this

\b
Nodes are names, or a number of them. All other options are those of
`duly worker`; with a colon they are for some nodes: -c:w1 4, by place from 1
-c:1-3 4, --loglevel:w2=DEBUG.
\b
  --pidfile FILE       [/run/duly/%n.pid, or below ~/.local/state]
  --logfile FILE       [/var/log/duly/%n%I.log, likewise]
  --range-prefix NAME  of nodes that are a number [worker]
  --prefix, --suffix   around names; --hostname HOST instead of this host's
  --executable PYTHON  the Python to start workers with
  --verbose            print each command
In file names %n is the node's name, %h name@host, %d the host, %i and %I the
number of the executor."""


class Multi(Verb):
    """Takes its words as they are: options with a colon are none of click's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.args = list(args)
        return ctx.args


@click.command(cls=Multi, help=HELP, add_help_option=False, options_metavar="VERB [NODES]... [OPTIONS]")
@click.pass_context
def multi(ctx: click.Context) -> None:
    session = ctx.ensure_object(Session)
    verb, *words = ctx.args or ["help"]
    if verb in ("help", "-h", "--help"):
        click.echo(ctx.get_help())
        return
    if verb not in _VERBS:
        raise click.UsageError(f"multi has no verb {verb!r}{did_you_mean(verb, _VERBS)}", ctx)
    try:
        _VERBS[verb](Fleet(session, _with_session(session, words), verb))
    except ValueError as error:  # BadWords, or a mark in a file name that stands for nothing
        raise click.UsageError(clean(str(error)), ctx) from None


def _with_session(session: Session, words: list[str]) -> list[str]:
    """Also what stood before the verb: ``duly -A proj multi start 2``."""
    before: list[str] = []
    for option, value in (("-A", session.app_spec), ("--store", session.store_url), ("--config", session.config)):
        if value is not None:
            before += [option, value]
    return [*words[: _nodes_end(words)], *before, *words[_nodes_end(words) :]]


def _nodes_end(words: list[str]) -> int:
    return words.index("--") if "--" in words else len(words)


class Fleet:
    """The nodes of one command line."""

    def __init__(self, session: Session, words: list[str], verb: str) -> None:
        self.session = session
        self.signal = _signal(words) if verb in ("stop", "stopwait", "stop_verify", "restart", "kill") else None
        self.first = words.pop(0) if verb in ("get", "expand") and words and not words[0].startswith("-") else None
        if verb in ("get", "expand") and self.first is None:
            raise BadWords(f"{verb} needs {'a node' if verb == 'get' else 'a template'}, then the nodes")
        parts = take_apart(words, _known())
        own = {name: parts.shared.pop(name)[-1] for name in _OWN if name in parts.shared}
        self.rest = parts.rest
        self.verbose = "--verbose" in own
        self.python = own.get("--executable") or sys.executable
        session.quiet = session.quiet or "--quiet" in own
        names = names_of(
            parts.values,
            range_prefix=own.get("--range-prefix") or "worker",
            prefix=own.get("--prefix") or "",
            suffix=own.get("--suffix") or "",
            host=(own.get("--hostname") or socket.gethostname()).lstrip("@"),
        )
        for nodes, option, _ in parts.own:
            if option in _OWN and option not in ("--pidfile", "--logfile"):
                raise BadWords(f"{option}:{nodes}: this option is for all nodes")
        self._pidfile = own.get("--pidfile") or _default("run", "%n.pid")
        self._logfile = own.get("--logfile") or _default("log", "%n%I.log")
        self.nodes = with_options(names, parts)

    def pidfile_of(self, node: Node) -> str:
        pattern = node.options.get("--pidfile", [])[-1:] or [self._pidfile]
        return os.path.abspath(filenames.expand(str(pattern[0]), node.name, node.host))

    def logfile_of(self, node: Node) -> str:
        """The pattern: executors have files of their own."""
        pattern = node.options.get("--logfile", [])[-1:] or [self._logfile]
        return os.path.abspath(str(pattern[0]))

    def pid_of(self, node: Node) -> int | None:
        return holder(self.pidfile_of(node))

    def command(self, node: Node) -> list[str]:
        """What starts it."""
        command = [self.python, "-m", "duly", "worker", "--detach", f"--hostname={node.name}"]
        command += [f"--pidfile={self.pidfile_of(node)}", f"--logfile={self.logfile_of(node)}"]
        for option, values in node.options.items():
            if option not in _OWN:
                command += [option if value is None else f"{option}={value}" for value in values]
        return [*command, *self.rest]

    # -- what is done to nodes -----------------------------------------------------------------------

    def start(self, node: Node) -> bool:
        command = self.command(node)
        if self.verbose:
            self.session.note(f"  {shlex.join(command)}")
        if (pid := self.pid_of(node)) is not None:
            self.say(node, f"is running already, process {pid}")
            return True
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode == 0:
            self.say(node, f"started, process {self.pid_of(node)}")
            return True
        self.say(node, f"did not start (status {done.returncode})")
        for line in done.stderr.splitlines():
            click.echo(f"    {clean(line)}", err=True)
        return False

    def tell(self, node: Node, number: signal.Signals) -> int | None:
        """Signal a node; gives its pid, or None if it is not running."""
        pid = self.pid_of(node)
        if pid is None:
            self.say(node, f"is not running: nobody holds {self.pidfile_of(node)}")
            return None
        try:
            os.kill(pid, number)
        except ProcessLookupError:  # it left meanwhile
            return None
        except PermissionError:
            raise click.ClickException(f"{node}: process {pid} belongs to another user") from None
        self.say(node, f"was told to stop ({number.name}), process {pid}")
        return pid

    def wait(self, node: Node, pid: int) -> None:
        """Until it has left, however long its jobs take."""
        while self.pid_of(node) == pid:
            time.sleep(POLL)
        self.say(node, "has left")

    def say(self, node: Node, text: str) -> None:
        if not self.session.quiet:
            self.session.print(f"{clean(str(node))} {text}")


def _known() -> dict[str, Known]:
    """Every option of ``duly worker`` and of multi itself."""
    from duly.cli.worker import worker

    known = {name: Known(name, takes_value) for name, takes_value in _OWN.items()}
    for param in (*worker.params, *common_options(hidden=True)):
        if isinstance(param, click.Option):
            known |= {name: Known(max(param.opts, key=len), not param.is_flag) for name in param.opts}
    return known


def _signal(words: list[str]) -> signal.Signals | None:
    """The signal that is named by a word like -QUIT, -SIGTERM or -9, which is taken out."""
    for word in words:
        name = word[1:].removeprefix("SIG")
        if not word.startswith("-") or not (name.isdigit() or f"SIG{name}" in signal.Signals.__members__):
            continue
        try:
            number = signal.Signals(int(name)) if name.isdigit() else signal.Signals[f"SIG{name}"]
        except ValueError:
            raise BadWords(f"there is no signal {name}") from None
        words.remove(word)
        return number
    return None


def _default(kind: str, name: str) -> str:
    """The system's place for pid files ("run") or logs, or the user's, who may not write there."""
    if os.geteuid() == 0:
        return f"{'/run' if kind == 'run' else '/var/log'}/duly/{name}"
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(state, "duly", kind, name)


# -- verbs ---------------------------------------------------------------------------------------


def _start(fleet: Fleet) -> None:
    started = [fleet.start(node) for node in fleet.nodes]
    if not all(started):
        fleet.session.leave(NOT_DONE)


def _stop(fleet: Fleet) -> None:
    for node in fleet.nodes:
        fleet.tell(node, fleet.signal or signal.SIGTERM)


def _stopwait(fleet: Fleet) -> None:
    told = [(node, fleet.tell(node, fleet.signal or signal.SIGTERM)) for node in fleet.nodes]
    for node, pid in told:
        if pid is not None:
            fleet.wait(node, pid)


def _restart(fleet: Fleet) -> None:
    """All are told at once; each starts again when it has left."""
    told = [(node, fleet.tell(node, fleet.signal or signal.SIGTERM)) for node in fleet.nodes]
    started = []
    for node, pid in told:
        if pid is not None:
            fleet.wait(node, pid)
        started.append(fleet.start(node))
    if not all(started):
        fleet.session.leave(NOT_DONE)


def _kill(fleet: Fleet) -> None:
    for node in fleet.nodes:
        fleet.tell(node, fleet.signal or signal.SIGKILL)


def _show(fleet: Fleet) -> None:
    for node in fleet.nodes:
        click.echo(shlex.join(fleet.command(node)))


def _get(fleet: Fleet) -> None:
    for node in fleet.nodes:
        if fleet.first in (node.name, str(node)):
            click.echo(shlex.join(fleet.command(node)))
            return
    names = [node.name for node in fleet.nodes]
    raise BadWords(f"there is no node {fleet.first!r}{did_you_mean(str(fleet.first), names)}")


def _names(fleet: Fleet) -> None:
    for node in fleet.nodes:
        click.echo(str(node))


def _expand(fleet: Fleet) -> None:
    for node in fleet.nodes:
        click.echo(filenames.expand(str(fleet.first), node.name, node.host))


_VERBS: dict[str, Callable[[Fleet], None]] = {
    "start": _start, "stop": _stop, "stopwait": _stopwait, "stop_verify": _stopwait, "restart": _restart,
    "kill": _kill, "show": _show, "get": _get, "names": _names, "expand": _expand,
}  # fmt: skip
