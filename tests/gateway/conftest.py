"""Doors between a real broker and a store."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_kit import PROJECT
from tests.servers.celery import CeleryProgram
from tests.servers.rabbitmq import RabbitServer

_numbers = itertools.count()


@pytest.fixture
def queue() -> str:
    """The name of a queue that no other test has."""
    return f"queue{next(_numbers)}"


@pytest.fixture
def celery(shared_rabbitmq: RabbitServer, tmp_path: Path) -> Iterator[CeleryProgram]:
    """A Celery project on the shared RabbitMQ."""
    with CeleryProgram(tmp_path / "proj", PROJECT, {"BROKER": shared_rabbitmq.url()}) as program:
        yield program
