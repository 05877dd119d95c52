"""The test kit: a clock to drive, the store contract as tests, and a model of a store.

=====================  =========================================================================
``testing.clock``      :class:`ManualClock`
``testing.conformance``  the suite that every store passes (needs pytest)
``testing.model``      the store contract as plain dictionaries, to compare stores with
``testing.machine``    random histories, a store against the model (needs hypothesis)
=====================  =========================================================================
"""

from duly.testing.clock import ManualClock

__all__ = ["ManualClock"]
