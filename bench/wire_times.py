"""How long deliveries wait for their acknowledgements, seen on the wire (AMQP 0-9-1, one connection at a time)."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator

_METHOD = 1
_DELIVER, _ACK = (60, 60), (60, 80)  # class and method
_HEADER = b"AMQP"


class WireTimes:
    """Watches both directions of a proxy (``tests/servers/proxy.py``); ``waited`` has seconds, a delivery each."""

    def __init__(self) -> None:
        self.waited: list[float] = []
        self._open: dict[tuple[int, int], float] = {}  # channel and tag: when it was delivered
        self._calls, self._answers = bytearray(), bytearray()

    def saw_answer(self, data: bytes) -> bool:
        now = time.monotonic()
        for channel, payload in _methods(self._answers, data):
            if struct.unpack(">HH", payload[:4]) == _DELIVER:
                (tag,) = struct.unpack_from(">Q", payload, 5 + payload[4])  # after the consumer's tag
                self._open[channel, tag] = now
        return False

    def saw_call(self, data: bytes) -> bool:
        if data.startswith(_HEADER):  # another connection begins
            self._open.clear()
            self._calls.clear()
            self._answers.clear()
            data = data[8:]
        now = time.monotonic()
        for channel, payload in _methods(self._calls, data):
            if struct.unpack(">HH", payload[:4]) == _ACK:
                tag, multiple = struct.unpack_from(">Q?", payload, 4)
                for other in [key for key in self._open if key == (channel, tag) or (
                    multiple and key[0] == channel and key[1] <= tag
                )]:  # fmt: skip
                    self.waited.append(now - self._open.pop(other))
        return False


def _methods(rest: bytearray, data: bytes) -> Iterator[tuple[int, bytes]]:
    """The method frames that are whole now: channel and payload. What is not stays in ``rest``."""
    rest += data
    while len(rest) >= 7:
        kind, channel, size = struct.unpack_from(">BHI", rest)
        if len(rest) < size + 8:
            return
        payload = bytes(rest[7 : 7 + size])
        del rest[: size + 8]
        if kind == _METHOD:
            yield channel, payload
