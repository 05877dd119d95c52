"""What can go wrong, each said in a sentence for the person who has to do something about it."""

from __future__ import annotations


class WatchError(Exception):
    """Shown without a traceback: what was wrong, and what to do."""


class SettingsError(WatchError):
    """An environment variable ``WATCH_...`` is wrong."""


class CrawlFailed(WatchError):
    """A site could not be read now; it is tried again later."""

    def __init__(self, text: str, retry_after: float | None = None, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        """Of the answer, if there was one that said no."""
        self.retry_after = retry_after
        """Seconds for which the site asks to be left alone."""


class LayoutChanged(WatchError):
    """A site answers, but nothing is found where posts should be."""


class SpiderError(WatchError):
    """Selectors, or the name of a Scrapy spider, are wrong."""
