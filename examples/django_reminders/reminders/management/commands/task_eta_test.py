"""``manage.py task_eta_test 120 CELERY``: ask for a task in 120 seconds, and say when it ran."""

import argparse

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from reminders.tasks import tick


class Command(BaseCommand):
    help = "Ask for a task so many seconds from now, wait for it, and say how punctual it was."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("seconds", type=float, help="from now until the task is due")
        parser.add_argument("words", choices=["CELERY"], type=str.upper, help="in whose words it is asked for")

    def handle(self, *args: object, seconds: float, words: str, **options: object) -> None:
        if seconds < 0:
            raise CommandError(f"{seconds:g} seconds from now has passed; give 0 or more")
        result = tick.apply_async((timezone.now(), seconds), countdown=seconds)
        self.stdout.write(f"job {result.id} is due in {seconds:g} s; a worker has to be running")
        try:
            late = result.get(timeout=seconds + 30)
        except TimeoutError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"it ran once, {late * 1000:.0f} ms after its time, in attempt {result.attempts}")
