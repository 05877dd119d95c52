"""The process of one crawl by Scrapy; ``spiders.py`` starts it, tells it on stdin what to run, and reads its items.

watch's manners are the defaults; the settings of a Scrapy project (``SCRAPY_SETTINGS_MODULE``) and of the spider come
before them.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
from typing import Any

from itemadapter import ItemAdapter
from scrapy.crawler import CrawlerProcess
from scrapy.utils.project import get_project_settings

from duly.parent import end_with

_MANNERS = {
    "ROBOTSTXT_OBEY": True,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
    "DOWNLOAD_DELAY": 1,
    "DOWNLOAD_TIMEOUT": 60,
    "DOWNLOAD_MAXSIZE": 10_000_000,
    "TELNETCONSOLE_ENABLED": False,
    "LOG_LEVEL": "WARNING",
}


class Writer:
    """Scrapy's pipeline: each item is a line of JSON."""

    output: int

    def process_item(self, item: Any) -> Any:
        _write(self.output, ItemAdapter(item).asdict())
        return item


class LastError(logging.Handler):
    """Remembers the last error that was logged."""

    said = ""

    def emit(self, record: logging.LogRecord) -> None:
        exception = record.exc_info[1] if record.exc_info else None
        self.said = record.getMessage() if exception is None else f"{type(exception).__name__}: {exception}"


def main() -> None:
    end_with(os.getppid())
    Writer.output = os.dup(1)  # what a spider prints must not come between the items
    os.dup2(2, 1)
    wanted = json.load(sys.stdin)
    sys.path.insert(0, os.getcwd())
    module, _, name = wanted["spider"].partition(":")
    spider = getattr(importlib.import_module(module), name)
    errors = LastError(logging.ERROR)
    logging.getLogger().addHandler(errors)
    process = CrawlerProcess(_settings(wanted["agent"]))
    crawler = process.create_crawler(spider)
    process.crawl(crawler, **({"start_urls": [wanted["url"]]} | wanted["arguments"]))
    process.start()
    stats = crawler.stats.get_stats() if crawler.stats else {}
    end = {"finished": stats.get("finish_reason", "it was not begun"), "said": errors.said}
    end |= {"errors": stats.get("log_count/ERROR", 0), "items": stats.get("item_scraped_count", 0)}
    _write(Writer.output, end)


def _settings(agent: str) -> Any:
    settings = get_project_settings()
    for name, value in {**_MANNERS, "USER_AGENT": agent}.items():
        settings.set(name, value, priority="command")  # before Scrapy's own defaults, behind a project's
    pipelines = settings.getdict("ITEM_PIPELINES") | {f"{__name__}.Writer": 1000}
    settings.set("ITEM_PIPELINES", pipelines, priority="cmdline")
    return settings


def _write(output: int, value: dict[str, Any]) -> None:
    line = json.dumps(value, default=str).encode() + b"\n"
    while line:
        line = line[os.write(output, line) :]


if __name__ == "__main__":
    main()
