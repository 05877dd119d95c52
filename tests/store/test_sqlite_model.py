"""Random histories on SQLite against the model.

``ci`` (the default) always runs the same examples; HYPOTHESIS_PROFILE=deep looks further, with new ones.
"""

import os

from hypothesis import HealthCheck, Phase, settings

import duly.store
from duly.store import Store
from duly.testing.clock import ManualClock
from duly.testing.machine import StoreMachine

PHASES = (Phase.generate, Phase.shrink)  # not explain: it traces every line, and takes minutes
PROFILES = {
    "ci": settings(
        derandomize=True, phases=PHASES, max_examples=300, stateful_step_count=50, deadline=None, database=None
    ),
    "deep": settings(phases=PHASES, max_examples=5000, stateful_step_count=80, deadline=None, database=None),
}


class SqliteMachine(StoreMachine):
    def make_store(self, clock: ManualClock) -> Store:
        return duly.store.open("sqlite:///:memory:", clock=clock)


TestSqliteModel = SqliteMachine.TestCase
TestSqliteModel.settings = settings(
    PROFILES[os.environ.get("HYPOTHESIS_PROFILE", "ci")], suppress_health_check=list(HealthCheck)
)
