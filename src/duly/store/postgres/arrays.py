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
_EMPTY = struct.Struct(">iiI")
_LENGTH = struct.Struct(">i")
_BIGINT, _INT = struct.Struct(">iq"), struct.Struct(">ii")  # with their lengths
_NULL = _LENGTH.pack(-1)


class Array(list[Any]):
    """A list of one type. An empty one has no dimensions."""

    oid: ClassVar[int]
    element: ClassVar[int]  # its oid

    def binary(self) -> bytes:
        """As the server takes it."""
        if not self:
            return _EMPTY.pack(0, 0, self.element)
        return _HEAD.pack(1, 1, self.element, len(self), 1) + b"".join(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        """Each element with its length before it."""
        raise NotImplementedError


class BigInts(Array):
    """bigint[]; elements may be None."""

    oid, element = 1016, 20

    def _pieces(self) -> Iterator[bytes]:
        pack = _BIGINT.pack
        return (_NULL if value is None else pack(8, value) for value in self)


class Ints(Array):
    """integer[]"""

    oid, element = 1007, 23

    def _pieces(self) -> Iterator[bytes]:
        pack = _INT.pack
        return (pack(4, value) for value in self)


class Texts(Array):
    """text[]; elements may be None."""

    oid, element = 1009, 25

    def _pieces(self) -> Iterator[bytes]:
        for value in self:
            if value is None:
                yield _NULL
            else:
                data = value.encode()
                yield _LENGTH.pack(len(data)) + data


class Bytes(Array):
    """bytea[]; elements may be None."""

    oid, element = 1001, 17

    def _pieces(self) -> Iterator[bytes]:
        pack = _LENGTH.pack
        return (_NULL if value is None else pack(len(value)) + value for value in self)


class _Dumper(adapt.Dumper):
    """For psycopg's cursors."""

    format = pq.Format.BINARY

    def dump(self, obj: Array) -> bytes:
        return obj.binary()


for _type in (BigInts, Ints, Texts, Bytes):
    adapters.register_dumper(_type, type(f"{_type.__name__}Dumper", (_Dumper,), {"oid": _type.oid}))
