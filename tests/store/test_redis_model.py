"""Random histories on Redis against the model.

``ci`` (the default) always runs the same examples; HYPOTHESIS_PROFILE=deep looks further, with new ones.
"""

import itertools
import os
import tempfile
from pathlib import Path
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from tests.servers.redis import RedisServer

import duly.store
from duly.store import Store
from duly.testing.clock import ManualClock
from duly.testing.machine import StoreMachine

PHASES = (Phase.generate, Phase.shrink)  # not explain: it traces every line, and takes minutes
PROFILES = {
    "ci": settings(
        derandomize=True, phases=PHASES, max_examples=60, stateful_step_count=50, deadline=None, database=None
    ),
    "deep": settings(phases=PHASES, max_examples=5000, stateful_step_count=80, deadline=None, database=None),
}


class RedisMachine(StoreMachine):
    server: ClassVar[RedisServer]
    numbers = itertools.count()

    def make_store(self, clock: ManualClock) -> Store:
        self.server.ask("FLUSHALL")
        return duly.store.open(f"{self.server.url()}?prefix={next(self.numbers)}", clock=clock)


class TestRedisModel(RedisMachine.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(PROFILES[os.environ.get("HYPOTHESIS_PROFILE", "ci")], suppress_health_check=list(HealthCheck))

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        RedisMachine.server = RedisServer(Path(folder.name)).start()
        cls.addClassCleanup(RedisMachine.server.stop)
