"""The store contract as tests. A new store is checked with::

    from duly.testing.conformance import StoreConformance

    class TestMyStore(StoreConformance):
        def make_store(self, clock, place):
            return MyStore(f"my://{place}", clock=clock)

``place`` is a path that is this test's own; two stores made at one place must share their jobs. What a
store cannot do by its nature (an in-memory one shares nothing between processes) it declares in
``missing``, and the tests that need it are skipped; see :data:`duly.testing.conformance.base.CAPABILITIES`.

Each test is named by the promise it holds the store to; the file says which part of the contract.
"""

import pytest

# Before the imports below, so that a failing assert in them shows its values.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{part}"
        for part in (
            "answering",
            "base",
            "fencing",
            "gates",
            "resuming",
            "producing",
            "reserving",
            "settling",
            "liveness",
            "managing",
            "moving",
            "selecting",
            "looking",
            "waiting",
            "recurring",
        )
    )
)

from duly.testing.conformance.answering import Answering  # noqa: E402
from duly.testing.conformance.fencing import Fencing  # noqa: E402
from duly.testing.conformance.gates import Gates  # noqa: E402
from duly.testing.conformance.liveness import Liveness  # noqa: E402
from duly.testing.conformance.looking import Looking  # noqa: E402
from duly.testing.conformance.managing import Managing  # noqa: E402
from duly.testing.conformance.moving import MovingStores  # noqa: E402
from duly.testing.conformance.producing import Producing  # noqa: E402
from duly.testing.conformance.recurring import Recurring  # noqa: E402
from duly.testing.conformance.reserving import Reserving  # noqa: E402
from duly.testing.conformance.resuming import Resuming  # noqa: E402
from duly.testing.conformance.selecting import Selecting  # noqa: E402
from duly.testing.conformance.settling import Settling  # noqa: E402
from duly.testing.conformance.waiting import Waiting  # noqa: E402

__all__ = ["StoreConformance"]


class StoreConformance(
    # pytest collects from the last base to the first: fencing is tested first.
    MovingStores,
    Answering,
    Resuming,
    Gates,
    Recurring,
    Waiting,
    Looking,
    Selecting,
    Managing,
    Liveness,
    Settling,
    Reserving,
    Producing,
    Fencing,
):
    """Every promise of ``duly.store.contract``; subclass it and give it ``make_store``."""
