"""Random histories on SQLite against the model."""

import pytest
from tests.store.histories import LONGEST, agree


@pytest.mark.timeout(LONGEST)
def test_it_agrees_with_the_model() -> None:
    agree("sqlite:///:memory:", examples=300)
