"""Lists as parameters of one fixed type, in PostgreSQL's binary form.

psycopg chooses the type of a list by what is in it (int2, int4 or int8; text when all is None), and a statement with
other types is another prepared statement. These are always what they say, and quick to write.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, ClassVar

from psycopg import adapt, adapters, pq

_HEAD = struct.Struct(">iiIii")  # dimensions, has nulls, oid of the elements, length, first index
_LENGTH = struct.Struct(">i")
_NULL = _LENGTH.pack(-1)


class BigInts(list[int | None]):
    """bigint[]"""


class Ints(list[int]):
    """integer[]"""


class Texts(list[str | None]):
    """text[]"""


class Bytes(list[bytes | None]):
    """bytea[]"""


class _ListDumper(adapt.Dumper):
    format = pq.Format.BINARY
    element: ClassVar[int]

    def dump(self, obj: Any) -> bytes:
        if not obj:
            return struct.pack(">iiI", 0, 0, self.element)
        return _HEAD.pack(1, 1, self.element, len(obj), 1) + b"".join(self.pieces(obj))

    def pieces(self, values: Any) -> Iterator[bytes]:
        """Each element with its length before it."""
        raise NotImplementedError


class _BigIntsDumper(_ListDumper):
    oid, element = 1016, 20

    def pieces(self, values: BigInts) -> Iterator[bytes]:
        pack = struct.Struct(">iq").pack
        return (_NULL if value is None else pack(8, value) for value in values)


class _IntsDumper(_ListDumper):
    oid, element = 1007, 23

    def pieces(self, values: Ints) -> Iterator[bytes]:
        pack = struct.Struct(">ii").pack
        return (pack(4, value) for value in values)


class _TextsDumper(_ListDumper):
    oid, element = 1009, 25

    def pieces(self, values: Texts) -> Iterator[bytes]:
        for value in values:
            if value is None:
                yield _NULL
            else:
                data = value.encode()
                yield _LENGTH.pack(len(data)) + data


class _BytesDumper(_ListDumper):
    oid, element = 1001, 17

    def pieces(self, values: Bytes) -> Iterator[bytes]:
        pack = _LENGTH.pack
        return (_NULL if value is None else pack(len(value)) + value for value in values)


for _type, _dumper in (
    (BigInts, _BigIntsDumper), (Ints, _IntsDumper), (Texts, _TextsDumper), (Bytes, _BytesDumper),
):  # fmt: skip
    adapters.register_dumper(_type, _dumper)
