"""The test kit: a clock to drive, the store contract as tests, and a model of a store.

=====================  =========================================================================
``testing.world``      :class:`World`: an installation in one object, its time and its faults in your hands
``testing.clock``      :class:`ManualClock`
``testing.embedded``   :func:`embedded_worker`: a worker in threads of the test's process, on real time
``testing.plugin``     the pytest fixtures ``duly_world`` and ``duly_eager``
``testing.conformance``  the suite that every store passes (needs pytest)
``testing.model``      the store contract as plain dictionaries, to compare stores with
``testing.machine``    random histories, a store against the model (needs hypothesis)
=====================  =========================================================================
"""

from duly.testing.clock import ManualClock
from duly.testing.embedded import embedded_worker
from duly.testing.history import BrokenPromise
from duly.testing.world import World

__all__ = ["BrokenPromise", "ManualClock", "World", "embedded_worker"]
