"""Stamps: headers put on every job of a canvas, before it is called or by a visitor that sees each part.

``self.request.stamps`` shows them, ``self.request.stamped_headers`` their names. They are in the header
``stamped_headers`` of the job, as in Celery.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duly.signature import Signature

NAMES = "stamped_headers"


class StampingVisitor:
    """What may be told of each part of a canvas by ``sig.stamp(visitor)``.

    Each method gets the part and what was said so far, and gives headers to add: for the part and, if it consists of
    others, for these. With a key ``stamped_headers`` only the headers it lists are stamps; without, all are.
    """

    def on_signature(self, sig: Signature[Any], **headers: Any) -> Mapping[str, Any] | None:
        """A call of a task."""
        return None

    def on_chain_start(self, sig: Signature[Any], **headers: Any) -> Mapping[str, Any] | None:
        return None

    def on_chain_end(self, sig: Signature[Any], **headers: Any) -> None:
        """Called after the parts."""

    def on_group_start(self, sig: Signature[Any], **headers: Any) -> Mapping[str, Any] | None:
        return None

    def on_group_end(self, sig: Signature[Any], **headers: Any) -> None:
        """Called after the parts."""

    def on_chord_header_start(self, sig: Signature[Any], **headers: Any) -> Mapping[str, Any] | None:
        return None

    def on_chord_header_end(self, sig: Signature[Any], **headers: Any) -> None:
        """Called after the parts."""

    def on_chord_body(self, sig: Signature[Any], **headers: Any) -> Mapping[str, Any] | None:
        return None

    def on_callback(self, sig: Signature[Any], **headers: Any) -> Mapping[str, Any] | None:
        """A linked signature."""
        return None

    def on_errback(self, sig: Signature[Any], **headers: Any) -> Mapping[str, Any] | None:
        """A signature linked for errors."""
        return None


_NOBODY = StampingVisitor()


def stamp(sig: Signature[Any], visitor: StampingVisitor | None, headers: Mapping[str, Any]) -> None:
    """Stamp ``sig`` and all it consists of, and what is linked to them."""
    visitor = visitor or _NOBODY
    parts = sig._parts()
    if not parts:
        _put(sig, _more(headers, visitor.on_signature(sig, **headers)))
    elif sig.kind == "chord":
        inner = _more(headers, visitor.on_chord_header_start(sig, **headers))
        stamp(parts[0], visitor, inner)
        visitor.on_chord_header_end(sig, **inner)
        for body in parts[1:]:
            stamp(body, visitor, _more(headers, visitor.on_chord_body(sig, **headers)))
    else:
        start, end = (
            (visitor.on_group_start, visitor.on_group_end)
            if sig.kind == "group"
            else (visitor.on_chain_start, visitor.on_chain_end)
        )
        inner = _more(headers, start(sig, **headers))
        for part in parts:
            stamp(part, visitor, inner)
        end(sig, **inner)
    for option, told in (("link", visitor.on_callback), ("link_error", visitor.on_errback)):
        for other in sig.linked(option):
            stamp(other, visitor, _more(headers, told(other, **headers)))


def _more(headers: Mapping[str, Any], said: Mapping[str, Any] | None) -> dict[str, Any]:
    """``headers`` with what was said; which of them are stamps is noted in NAMES."""
    said = dict(said or {})
    stamps = set(headers.get(NAMES, [name for name in headers if name != NAMES]))
    stamps |= set(said.get(NAMES, [name for name in said if name != NAMES]))
    return {**headers, **said, NAMES: sorted(stamps)}


def _put(sig: Signature[Any], headers: Mapping[str, Any]) -> None:
    before = dict(sig.options.get("headers") or {})
    sig.options["headers"] = {
        **before, **headers, NAMES: sorted({*before.get(NAMES, ()), *headers.get(NAMES, ())}),
    }  # fmt: skip


def stamps_of(headers: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The stamps among a job's headers, each a list."""
    names = headers.get(NAMES) or ()
    values = {name: headers[name] for name in names if name in headers}
    return {name: list(value) if isinstance(value, list | tuple) else [value] for name, value in values.items()}
