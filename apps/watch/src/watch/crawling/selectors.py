"""Pages without a feed: selectors say where the posts are.

::

    {"item": "article.offer", "link": "h2 a", "title": "h2", "summary": "p.lead", "next": "a[rel=next]", "pages": 3}

A selector is CSS within the item, and may end in ``@name``: that attribute instead of the text. ``@name`` alone is
the item's own.
"""

from __future__ import annotations

import msgspec
from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from watch.crawling import texts
from watch.crawling.answer import Answer
from watch.errors import LayoutChanged, SpiderError
from watch.found import Found

MAX_PAGES = 1000


class Selectors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the posts of a page are."""

    item: str
    """What there is one of for each post."""
    link: str = "a[href]"
    """The post's address; an attribute href unless it says another."""
    title: str = ""
    """Empty: the text of the link."""
    summary: str = ""
    published: str = ""
    """Its attribute datetime, or its text."""
    key: str = ""
    """What makes it this post; empty: its address."""
    next: str = ""
    """The link to the next page; empty: there is one page."""
    pages: int = 5
    """How many are read at most."""


def make(raw: object) -> Selectors:
    """The selectors as they are stored. Raises SpiderError for what cannot be."""
    try:
        made = msgspec.convert(raw, Selectors)
    except msgspec.ValidationError as error:
        fields = ", ".join(Selectors.__struct_fields__)
        raise SpiderError(f"selectors {raw!r}: {error}; there are {fields}, and item has to be given") from None
    if not 1 <= made.pages <= MAX_PAGES:
        raise SpiderError(f"selectors: pages={made.pages}: expected 1 to {MAX_PAGES}")
    for name in ("item", "link"):
        if not getattr(made, name):
            raise SpiderError(f"selectors: {name} is empty; without it no post is found")
    for name in ("item", "link", "title", "summary", "published", "key", "next"):
        _check_css(name, getattr(made, name))
    return made


def _check_css(name: str, selector: str) -> None:
    css = _parts(selector)[0] if name != "item" else selector
    try:
        LexborHTMLParser("<p></p>").css(css or "*")
    except SelectolaxError:
        raise SpiderError(f"selectors: {name}={selector!r} is no CSS selector") from None


def _parts(selector: str) -> tuple[str, str]:
    """The CSS and the attribute of ``css@attribute``; either may be empty."""
    css, at, attribute = selector.rpartition("@")
    return (css, attribute) if at else (selector, "")


def posts_of(answer: Answer, selectors: Selectors) -> list[Found]:
    """The posts of one page; none where the item's selector finds nothing.

    Raises LayoutChanged when there are items, and none of them has a link, or a title where one is selected.
    """
    tree = LexborHTMLParser(answer.text)
    items, base = tree.css(selectors.item), _base(answer, tree)
    found = [one for item in items if (one := _post(base, item, selectors)) is not None]
    if items and not found:
        missing = "title" if any(_value(item, selectors.link, "href") for item in items) else "link"
        selector = getattr(selectors, missing)
        raise LayoutChanged(f"{len(items)} items on {answer.url}, but {missing}={selector!r} finds nothing in them")
    return found


def _post(base: str, item: LexborNode, selectors: Selectors) -> Found | None:
    url = texts.absolute(base, _value(item, selectors.link, "href"))
    css = selectors.title or _parts(selectors.link)[0]
    title = texts.plain(_value(item, css), texts.MAX_TITLE)
    if not url or not title:
        return None
    published = _value(item, selectors.published, "datetime") or _value(item, selectors.published)
    return Found(
        key=texts.key(_value(item, selectors.key) or url),
        url=url,
        title=title,
        summary=texts.plain(_value(item, selectors.summary), texts.MAX_SUMMARY),
        published=texts.moment(published),
    )


def _value(item: LexborNode, selector: str, attribute: str = "") -> str:
    """What a selector finds in an item: an attribute, or the text; empty if it finds nothing."""
    if not selector:
        return ""
    css, named = _parts(selector)
    attribute = named or attribute
    node = item.css_first(css) if css else item  # the item itself counts too
    if node is None:
        return ""
    return (node.attributes.get(attribute) or "" if attribute else node.text(separator=" ")).strip()


def next_page(answer: Answer, selectors: Selectors) -> str:
    """The address of the next page; empty if there is none."""
    if not selectors.next:
        return ""
    tree = LexborHTMLParser(answer.text)
    return "" if tree.root is None else texts.absolute(_base(answer, tree), _value(tree.root, selectors.next, "href"))


def _base(answer: Answer, tree: LexborHTMLParser) -> str:
    """What the page's links are relative to."""
    base = tree.css_first("base[href]")
    return answer.url if base is None else texts.absolute(answer.url, base.attributes.get("href") or "") or answer.url
