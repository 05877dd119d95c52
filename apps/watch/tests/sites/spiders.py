"""Scrapy spiders such as users write them; run in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import scrapy


class Offers(scrapy.Spider):
    """Follows the pages of a listing."""

    name = "offers"
    custom_settings = {"DOWNLOAD_DELAY": 0}  # noqa: RUF012 - as Scrapy has it

    def parse(self, response: Any) -> Iterator[Any]:
        print("what a spider prints does no harm")
        for offer in response.css("article"):
            yield {"url": response.urljoin(offer.css("a::attr(href)").get()), "title": offer.css("a::text").get()}
        yield from response.follow_all(css="a[rel=next]")


class Silent(scrapy.Spider):
    """Finds nothing."""

    name = "silent"
    custom_settings = {"DOWNLOAD_DELAY": 0}  # noqa: RUF012

    def parse(self, response: Any) -> None: ...


class Broken(scrapy.Spider):
    """Has a mistake."""

    name = "broken"

    def parse(self, response: Any) -> Any:
        raise LookupError("no such thing")


class Nameless(scrapy.Spider):
    """Its items are no posts."""

    name = "nameless"

    def parse(self, response: Any) -> Any:
        yield {"name": "x"}


class Dying(scrapy.Spider):
    """Takes its process along."""

    name = "dying"

    def parse(self, response: Any) -> Any:
        import os

        os._exit(3)
