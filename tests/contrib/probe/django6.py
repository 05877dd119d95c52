"""Tasks in Django's own words, and what their signals said."""

import os

import django

if django.VERSION >= (6, 0):
    from django.tasks import task
    from django.tasks.signals import task_enqueued, task_finished, task_started
else:
    from django_tasks import task
    from django_tasks.signals import task_enqueued, task_finished, task_started

LOG = os.environ.get("PROBE_SIGNALS", os.devnull)


def note(signal: str) -> object:
    def receive(sender: type, task_result: object, **_: object) -> None:
        with open(LOG, "a") as file:
            file.write(f"{signal} {task_result.task.name} {task_result.status} {task_result.attempts}\n")

    return receive


receivers = {name: note(name) for name in ("enqueued", "started", "finished")}
task_enqueued.connect(receivers["enqueued"])
task_started.connect(receivers["started"])
task_finished.connect(receivers["finished"])


@task
def add(x: int, y: int = 1) -> int:
    """Add two numbers."""
    return x + y


@task(takes_context=True, priority=50)
def attempt(context: object, least: int) -> list[object]:
    if context.attempt < least:
        raise ValueError(f"attempt {context.attempt}")
    return [context.attempt, context.task_result.id]


@task(queue_name="mail")
async def later(when: str) -> str:
    return when
