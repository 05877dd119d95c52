"""What tells the jobs of a relay from others: where they wait, and a header that is not for people, with the message
that a relay keeps (``relay/holding.py``)."""

from __future__ import annotations

import msgspec

from duly.job import JobView

KEY = "duly-message"
"""Its name; the value is the whole message, as JSON."""


INBOX = ".later"
"""What follows a queue's name in the name of the queue that a relay takes from, at the broker and in the store."""


def is_relayed(job: JobView) -> bool:
    """Whether a relay puts it on a queue: as the message that it is, or as a call of a remote task."""
    return job.queue.endswith(INBOX) or (job.headers is not None and f'"{KEY}":'.encode() in job.headers)


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
