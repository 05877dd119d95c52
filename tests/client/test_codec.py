"""Arguments and results: what is refused at the call, what comes back as what."""

from __future__ import annotations

import dataclasses
import enum
import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.codec import Codec, decode_value, encode_value
from duly.errors import DecodeError, EncodeError

if TYPE_CHECKING:
    from nowhere import Missing


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    at: datetime | None = None


class Order(msgspec.Struct):
    id: UUID
    price: Decimal
    extra: Any = None


class Row(TypedDict):
    when: datetime


def plain(x, y=2, *, z=3): ...  # type: ignore[no-untyped-def]


def typed(
    n: int = 0, f: float = 0.0, s: str = "", when: datetime | None = None, p: Point | None = None,
    color: Color = Color.RED, raw: bytes = b"", numbers: list[float] | None = None, by: dict[int, str] | None = None,
    span: timedelta | None = None, order: Order | None = None, row: Row | None = None, tags: set[str] | None = None,
    bag: dict[str, Any] | None = None,
) -> Point: ...  # fmt: skip


def lost(x: Missing, y: int) -> Missing: ...


def round_trip(codec: Codec, *args: object, **kwargs: object) -> tuple[list[Any], dict[str, Any]]:
    return codec.decode_args(codec.encode_args(args, kwargs))


NOW = datetime(2026, 3, 29, 1, 2, 3, 456789, UTC)

RICH = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(), st.floats(), st.binary(),
    st.datetimes(timezones=st.just(UTC) | st.none()), st.dates(), st.times(),
    st.timedeltas(), st.decimals(allow_nan=False), st.uuids(),
)  # fmt: skip
VALUES = st.recursive(
    RICH,
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["__type__", "__value__"]), inner),
    max_leaves=15,
)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    if isinstance(a, list):
        return type(b) is list and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return type(b) is dict and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


@given(VALUES)
def test_values_without_annotation_come_back_as_they_were(value: Any) -> None:
    assert same(value, decode_value(encode_value(value)))
    args, kwargs = round_trip(Codec("t", plain), value, z=value)
    assert same(value, args[0])
    assert same(value, kwargs["z"])


@given(st.floats(), st.integers(), st.timedeltas(), st.lists(st.floats()), st.datetimes(timezones=st.just(UTC)))
def test_values_with_annotation_come_back_as_they_were(
    f: float, n: int, span: timedelta, numbers: list[float], when: datetime
) -> None:
    _, got = round_trip(Codec("t", typed), f=f, n=n, span=span, numbers=numbers, when=when)
    assert same(got, {"f": f, "n": n, "span": span, "numbers": numbers, "when": when})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("p", Point(1, NOW)), ("color", Color.RED), ("raw", b"\xff\x00"), ("by", {1: "a"}), ("tags", {"a", "b"}),
        ("order", Order(uuid4(), Decimal("1.10"), NOW)), ("row", {"when": NOW}),
        ("bag", {"a": NOW, "b": [Decimal("1"), float("inf")], "c": date(2026, 1, 1), "d": time(1, 2)}),
    ],
)  # fmt: skip
def test_annotated_classes(name: str, value: object) -> None:
    _, kwargs = round_trip(Codec("t", typed), **{name: value})
    assert kwargs[name] == value
    assert type(kwargs[name]) is type(value)


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((), {}, "t.plain() missing a required argument: 'x'"),
        ((1, 2, 3), {}, "t.plain() too many positional arguments"),
        ((1,), {"q": 1}, "t.plain() got an unexpected keyword argument 'q'"),
        ((1,), {"x": 1}, "t.plain() multiple values for argument 'x'"),
    ],
)
def test_calls_that_the_signature_refuses(args: tuple[Any, ...], kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError) as caught:
        Codec("t.plain", plain).encode_args(args, kwargs)
    assert str(caught.value).startswith(words)
    assert "(x, y=2, *, z=3)" in str(caught.value)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"n": "4"}, "argument 'n' does not fit its annotation int: Expected `int`, got `str`; got '4'"),
        ({"n": True}, "argument 'n'"),
        ({"s": NOW}, "argument 's'"),  # JSON would make it a text without a word
        ({"s": uuid4()}, "argument 's'"),
        ({"p": Point("a")}, "argument 'p'"),  # type: ignore[arg-type]  # a wrong field inside
        ({"numbers": [1.0, None]}, "argument 'numbers'"),
    ],
)
def test_values_that_the_annotation_refuses(kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, EncodeError), match="argument") as caught:
        Codec("t", typed).encode_args((), kwargs)
    assert words in str(caught.value)


class Odd:
    def __repr__(self) -> str:
        raise ValueError


loop: list[Any] = []
loop.append(loop)


@pytest.mark.parametrize("value", [object(), {1, 2}, Point(1), Color.RED, Odd(), loop, {(1, 2): 3}, "\ud800", 1j])
def test_what_has_no_json_form_is_refused_anywhere(value: object) -> None:
    for deep in (value, [value], {"a": [value]}):
        with pytest.raises(EncodeError, match="argument 'x'"):
            Codec("t", plain).encode_args((deep,), {})


def test_annotations_that_cannot_be_resolved_count_as_any() -> None:
    codec = Codec("t", lost)
    assert round_trip(codec, NOW, 3) == ([NOW, 3], {})
    with pytest.raises(TypeError, match="'y'"):
        codec.encode_args((1, "no"), {})


def test_bytes_that_do_not_fit() -> None:
    codec = Codec("t", typed)
    for data in (
        b"",
        b"{}",
        b"[[1]]",
        b'[["no int"],{}]',
        b'[[],{"p":{"y":1}}]',
        b'[[{"__type__":"uuid","__value__":1}],{}]',
    ):
        with pytest.raises(DecodeError):
            codec.decode_args(data)


def test_kombus_forms_are_read() -> None:
    data = b'[[{"__type__":"bytes","__value__":"abc"},{"__type__":"uuid","__value__":{"hex":"%032x"}}],{}]' % 5
    assert Codec("t", plain).decode_args(data) == ([b"abc", UUID(int=5)], {})


def test_star_parameters_are_decoded_too() -> None:
    def stars(*rest: date, **more: Decimal) -> None: ...

    codec = Codec("t", stars)
    day = date(2026, 5, 1)
    assert codec.decode_args(b'[["2026-05-01","2026-05-01"],{"a":"1.5"}]') == ([day, day], {"a": Decimal("1.5")})
    assert round_trip(codec, day, a=Decimal(1)) == ([day], {"a": Decimal(1)})


def test_results() -> None:
    codec = Codec("t", typed)
    assert codec.decode_result(codec.encode_result(Point(3, NOW))) == Point(3, NOW)
    with pytest.raises(TypeError, match="the result does not fit"):
        codec.encode_result("no point")
    untyped = Codec("t", plain)
    assert untyped.decode_result(untyped.encode_result({"at": NOW})) == {"at": NOW}
    assert untyped.encode_result(None) == b"null"
