"""What ``inspect`` and ``control`` share: which workers, how long to wait, and how answers are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click
import msgspec

from duly.bindings import bindings_of
from duly.celery_names import REMOTE
from duly.cli.root import Number, Verb, common_options
from duly.cli.session import NO_WORKER, NOT_DONE, Session
from duly.cli.text import clean, clean_lines, did_you_mean, plural
from duly.control import TIMEOUT, Control, Replies
from duly.inspection import node_name

F = TypeVar("F", bound=Callable[..., Any])


_ALSO_SAID = {"unpause": "resume", "continue": "resume", "stop": "shutdown", "delete": "remove", "ls": "list"}


class Family(click.Group):
    """``duly inspect`` and ``duly control``: verbs below a verb."""

    command_class = Verb

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(common_options(hidden=True))
        self.params.append(
            click.Option(["-l", "--list"], is_flag=True, is_eager=True, expose_value=False, hidden=True,
                         callback=self._list)
        )  # fmt: skip

    def _list(self, ctx: click.Context, param: click.Parameter, value: bool) -> None:
        """Celery's ``inspect --list``: the verbs, a line each."""
        if value:
            click.echo("\n".join(self.list_commands(ctx)))
            ctx.exit()

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Names have underscores, as Celery's have; dashes are understood."""
        super().add_command(cmd, (name or cmd.name or "").replace("-", "_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name.replace("-", "_"))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            names = self.list_commands(ctx)
            if (word := args[0].replace("-", "_")) in REMOTE and self.name in ("inspect", "control"):
                raise click.UsageError(f"{word!r} is Celery's and not here: {REMOTE[word]}", ctx)
            meant = _ALSO_SAID.get(args[0], args[0])
            hint = did_you_mean(meant, names) or f"; there are {', '.join(names)}"
            raise click.UsageError(f"{ctx.info_name} has no verb {args[0]!r}{hint}", ctx)
        return super().resolve_command(ctx, args)


def reach_options(verb: F) -> F:
    """-t, -d and -j, as Celery has them."""
    for option in (
        click.option("-j", "--json", "as_json", is_flag=True, help="One JSON object: answers by node."),
        click.option(
            "-d",
            "--destination",
            multiple=True,
            metavar="NODES",
            callback=nodes,
            help="Only these workers: name@host or name, * and ? allowed; several with commas or repeated.",
        ),
        click.option(
            "-t",
            "--timeout",
            type=Number(min=0, min_open=True),
            default=TIMEOUT,
            show_default=True,
            help="Seconds to wait for answers.",
        ),
    ):
        verb = option(verb)
    return verb


def nodes(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> list[str] | None:
    """The names that ``-d`` gives; None: all."""
    names = [name.strip() for one in value for name in one.split(",") if name.strip()]
    return names or None


def control(session: Session) -> Control:
    return Control(lambda: session.store, bindings=lambda: bindings_of(session.conf))


def warn_unserved(session: Session, queue: str, others: Iterable[str] = ()) -> None:
    """A word when workers are alive and none serves this queue: that is probably a slip of the pen."""
    alive = control(session).nodes()
    served = {name for worker in alive for name in worker.queues}
    if alive and queue not in served and queue not in others:
        session.note(f"No live worker serves queue {clean(queue)!r}{did_you_mean(queue, sorted(served)) or '.'}")


def show(session: Session, answers: Replies, as_json: bool, nothing: str) -> None:
    """Answers of the store: an empty list is an answer too."""
    if as_json:
        session.json(answers)
        return
    if not answers:
        session.note(nothing)
    for node, answer in answers.items():
        _print_node(session, node, answer)


def finish(session: Session, answers: Replies, destination: list[str] | None, as_json: bool) -> None:
    """Answers of live workers. Leaves with 69 when nobody answered, 1 when somebody refused."""
    if not answers:
        session.err.print(f"Error: {_nobody(session, destination)}", soft_wrap=True)
        session.leave(NO_WORKER)
    if as_json:
        session.json(answers)
    else:
        for node, answer in answers.items():
            _print_node(session, node, answer)
        session.note(f"{plural(len(answers), 'worker')} answered.")
    if any(isinstance(answer, dict) and "error" in answer for answer in answers.values()):
        session.leave(NOT_DONE)


def _nobody(session: Session, destination: list[str] | None) -> str:
    alive = [node_name(worker) for worker in control(session).nodes()]
    if not alive:
        return "no worker is alive; start one with: duly -A APP worker"
    if destination and not control(session).nodes(destination):
        hint = did_you_mean(destination[0], [*alive, *(name.partition("@")[0] for name in alive)])
        return f"no live worker is named {clean(', '.join(destination))}{hint}; alive: {clean(', '.join(alive))}"
    return "no worker answered in time; a larger --timeout may help"


def _print_node(session: Session, node: str, answer: Any) -> None:
    if isinstance(answer, dict) and len(answer) == 1 and isinstance(said := next(iter(answer.values())), str):
        kind = next(iter(answer))
        first, *rest = clean_lines(said if kind == "ok" else f"{kind}: {said}") or [""]
        session.print(f"{clean(node)}: {first}", *(f"  {line}" for line in rest))
        return
    session.print(f"{clean(node)}:")
    session.print(*(f"  {line}" for line in _lines(answer)))


def _lines(answer: Any) -> list[str]:
    """A list an item a line, an object a member a line, each as JSON."""
    if isinstance(answer, list):
        return [_text(item) for item in answer] or ["- nothing"]
    if isinstance(answer, dict):
        return [f"{clean(str(name))}: {_text(value)}" for name, value in answer.items()]
    return [_text(answer)]


def _text(value: Any) -> str:
    return clean(value if isinstance(value, str) else msgspec.json.encode(value).decode())
