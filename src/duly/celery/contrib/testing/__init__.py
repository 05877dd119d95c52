"""``celery.contrib.testing``: an app for tests, and a worker in the test's process."""
