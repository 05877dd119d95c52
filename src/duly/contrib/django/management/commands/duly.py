"""``manage.py duly worker``, ``manage.py duly jobs``, ...: the command ``duly``, for the project's app."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from duly.cli import run

APP = "duly.contrib.django.worker"


class Command(BaseCommand):
    """What follows is duly's own command line; of Django's options ``--settings`` and ``--pythonpath`` work too."""

    help = "The command line of duly, for this project's app: manage.py duly --help"
    requires_system_checks: Sequence[str] = []  # duly looks its app over itself, in its own words

    def run_from_argv(self, argv: Sequence[str]) -> None:
        _lead_children_here()
        sys.exit(run(["-A", APP, *_without_djangos(argv[2:])], f"{os.path.basename(argv[0])} duly"))

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("words", nargs="*")

    def handle(self, *args: Any, words: Sequence[str], **options: Any) -> None:
        """``call_command("duly", "jobs", "--state", "failed")``"""
        status = run(["-A", APP, *words])
        if status:
            raise CommandError(f"duly {' '.join(words)} ended with status {status}", returncode=status)


def _without_djangos(words: Sequence[str]) -> list[str]:
    """The words without the options that manage.py has obeyed already."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in ("--settings", "--pythonpath"):
            next(rest, None)
        elif not word.startswith(("--settings=", "--pythonpath=")):
            kept.append(word)
    return kept


def _lead_children_here() -> None:
    """A worker's processes find modules as this one does, from whatever directory manage.py was called."""
    places = dict.fromkeys(os.path.abspath(place) for place in sys.path)
    os.environ["PYTHONPATH"] = os.pathsep.join(places)
