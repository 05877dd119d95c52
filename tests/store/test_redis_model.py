"""Random histories on Redis against the model."""

import pytest
from tests.servers.redis import RedisServer
from tests.store.histories import LONGEST, agree


@pytest.mark.timeout(LONGEST)
def test_it_agrees_with_the_model(shared_redis: RedisServer) -> None:
    agree(shared_redis.url(), examples=60)
