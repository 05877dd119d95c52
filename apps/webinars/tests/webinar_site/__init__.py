"""A webinar host of our own, on loopback: pages that behave as the hosts' flows do, and that a test directs."""
