"""A header that is not for people: the message that a relay keeps in a job (``relay/holding.py``)."""

from __future__ import annotations

import msgspec

KEY = "duly-message"
"""Its name; the value is the whole message, as JSON."""


def readable(headers: bytes | None) -> bytes | None:
    """A job's headers for screens: of a message that is kept, only how large it is."""
    if headers is None or KEY.encode() not in headers:
        return headers
    try:
        found = msgspec.json.decode(headers, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        return headers
    if KEY in found:
        size = len(bytes(found[KEY]))
        found[KEY] = msgspec.Raw(msgspec.json.encode(f"a message for a broker, {size:,} bytes"))
    return msgspec.json.encode(found)
