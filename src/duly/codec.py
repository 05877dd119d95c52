"""Arguments and results to JSON bytes and back, by the task's annotations.

A stored call is ``[args, kwargs]``. A parameter whose annotation msgspec understands is written in msgspec's plain
form and read back as annotated; one without annotation (or ``Any``) keeps its types by tags (``tagged.py``).
Wrong calls are refused where they are made: TypeError for arguments that the signature or an annotation refuses,
EncodeError for values without a JSON form. In the worker, bytes that do not fit raise DecodeError.

Annotations are resolved at first use, so they may name things defined later; those that cannot be resolved,
or that mean nothing to msgspec, count as ``Any``.
"""

from __future__ import annotations

import inspect
import itertools
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import msgspec
import msgspec.inspect as mi

from duly import tagged
from duly.errors import DecodeError, EncodeError
from duly.tagged import MARKER, RICH, short, untag

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_decode_call = msgspec.json.Decoder(tuple[list[Any], dict[str, Any]]).decode

_PLAIN: dict[type, type] = {
    mi.IntType: int,
    mi.StrType: str,
    mi.BoolType: bool,
    mi.FloatType: float,
    mi.NoneType: type(None),
}
_SCALARS = frozenset(_PLAIN.values())


class Slot:
    """One parameter, or the result: how its values are written and read."""

    def __init__(self, what: str, annotation: Any) -> None:
        self.what = what  # for messages: "tasks.add(): argument 'x'"
        self.type = Any
        self.exact: frozenset[type] = _SCALARS  # types whose JSON is themselves and fits as it is
        self.form: Literal["plain", "tagged", "mixed"] = "tagged"  # how what is not exact is written
        try:
            info = mi.type_info(annotation)
            kinds = _kinds(info)
        except (TypeError, NameError):  # msgspec cannot read it
            return
        if mi.CustomType in kinds or isinstance(info, mi.AnyType):
            return
        self.type = annotation
        self.exact = _exact(info)
        if mi.AnyType not in kinds:
            self.form = "plain"
        elif kinds & {mi.DataclassType, mi.StructType, mi.TypedDictType, mi.NamedTupleType, mi.EnumType}:
            self.form = "mixed"  # a class of the user's with an Any somewhere inside

    @property
    def typed(self) -> bool:
        return self.type is not Any

    def encode(self, value: object) -> bytes:
        """JSON of ``value``; EncodeError without a JSON form, TypeError if it does not fit the annotation."""
        if type(value) in self.exact and (type(value) is not float or value - value == 0.0):
            try:
                return _encode(value)
            except UnicodeEncodeError:
                return tagged.encode(value, self.what)  # which says what is wrong with it
        if not self.typed:
            return tagged.encode(value, self.what)
        self._check(value)
        data = tagged.encode(value, self.what) if self.form == "tagged" else self._encode_typed(value)
        self._check(untag(_decode(data)))
        return data

    def decode(self, value: Any) -> Any:
        """The value of what a JSON decoder gave; DecodeError if it does not fit."""
        if type(value) in self.exact or not self.typed:
            return value
        try:
            return msgspec.convert(value, self.type, str_keys=True)
        except (msgspec.ValidationError, ValueError) as exc:
            raise DecodeError(self._misfit(value, exc)) from None

    def _check(self, value: object) -> None:
        try:
            msgspec.convert(value, self.type, str_keys=True)
        except (msgspec.ValidationError, ValueError) as exc:
            raise TypeError(self._misfit(value, exc)) from None

    def _encode_typed(self, value: object) -> bytes:
        try:
            if self.form == "plain":
                data = _encode(value)
                if b"null" not in data:
                    return data
            # msgspec writes nan as null, and forgets the type of what stands where Any does: tag those
            plain = msgspec.to_builtins(value, builtin_types=RICH if self.form == "mixed" else (), str_keys=True)
            return tagged.encode(plain, self.what)
        except (TypeError, ValueError, RecursionError) as exc:
            raise EncodeError(f"{self.what} has no JSON form: {short(value)} ({exc})") from None

    def _misfit(self, value: object, why: Exception) -> str:
        kind = self.type.__name__ if isinstance(self.type, type) else str(self.type).replace("typing.", "")
        return f"{self.what} does not fit its annotation {kind}: {why}; got {short(value)}"


class Codec:
    """The arguments and the result of one task; built once, with its signature."""

    def __init__(self, name: str, fn: Callable[..., Any] | None, *, skip_first: bool = False) -> None:
        """``fn`` None: a task known only by name, which takes anything. ``skip_first``: ``self`` of bind=True."""
        self.name = name
        self._fn = fn
        signature = inspect.signature(fn) if fn is not None else inspect.signature(_anything)
        parameters = list(signature.parameters.values())[1 if skip_first else 0 :]
        self.signature = signature.replace(parameters=parameters)
        self._count(parameters)

    def encode_args(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """The stored form of a call. Raises TypeError and EncodeError (see the module's text)."""
        n = len(args)
        if n > self._most or n < self._fewest or kwargs or self._keyword_only_required:
            self._check_names(args, kwargs)
        if not kwargs:
            for value, slot in zip(args, self._positional, strict=False):
                kind = type(value)
                if kind not in slot.exact or (kind is float and value - value != 0.0):
                    break
            else:
                if n <= len(self._positional):
                    try:
                        return _encode((args, _NO_KWARGS))
                    except UnicodeEncodeError:
                        pass  # the long way says which argument
        return self._encode_each(args, kwargs)

    def encode_rest(self, args: Sequence[Any], kwargs: Mapping[str, Any], before: int) -> bytes:
        """:meth:`encode_args` of a call whose first ``before`` positional arguments are known only when it starts."""
        self._check_names((*itertools.repeat(None, before), *args), kwargs)
        return self._encode_each(args, kwargs, before)

    def decode_rest(self, data: bytes, before: int) -> tuple[list[Any], dict[str, Any]]:
        """What :meth:`encode_rest` stored. Raises DecodeError."""
        args, kwargs = decode_value(data)
        slots = self._positional[before:]
        return (
            [slots[i].decode(value) if i < len(slots) else value for i, value in enumerate(args)],
            {key: self._slot(key).decode(value) for key, value in kwargs.items()},
        )

    def room(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
        """How many positional arguments may come before these."""
        taken = sum(name in kwargs for name in self._names)
        return self._most - len(args) - taken

    def decode_args(self, data: bytes) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a stored call, as annotated. Raises DecodeError."""
        try:
            args, kwargs = _decode_call(data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
            raise DecodeError(f"the arguments of {self.name} are not JSON [args, kwargs]: {exc}") from None
        if MARKER in data:
            args, kwargs = untag(args), {key: untag(value) for key, value in kwargs.items()}
        if not self._typed:
            return args, kwargs
        for i, (value, slot) in enumerate(zip(args, self._positional, strict=False)):
            if type(value) not in slot.exact:
                args[i] = slot.decode(value)
        if self._rest is not None:
            for i in range(len(self._positional), len(args)):
                args[i] = self._rest.decode(args[i])
        for key, value in kwargs.items():
            kwargs[key] = self._slot(key).decode(value)
        return args, kwargs

    def encode_result(self, value: object) -> bytes:
        """JSON of a return value. EncodeError or TypeError as for arguments."""
        if value is None and type(None) in self._result.exact:
            return b"null"
        return self._result.encode(value)

    def decode_result(self, data: bytes) -> Any:
        """The return value of JSON, as annotated. Raises DecodeError."""
        return decode_value(data, self._result)

    # -- the signature ---------------------------------------------------------------------------

    def _count(self, parameters: list[inspect.Parameter]) -> None:
        p = inspect.Parameter
        positional = [x for x in parameters if x.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        starred = any(x.kind is p.VAR_POSITIONAL for x in parameters)
        self._most = len(positional) if not starred else 1 << 30
        self._fewest = sum(x.default is p.empty for x in positional)
        only = [x for x in parameters if x.kind is p.KEYWORD_ONLY]
        self._keyword_only_required = any(x.default is p.empty for x in only)
        self._names = [x.name for x in positional]

    def _check_names(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as exc:
            raise TypeError(f"{self.name}() {exc}; its parameters are {self.signature}") from None

    # -- slots, made at first use because annotations may name what is defined later ---------------

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return resolve_hints(self._fn) if self._fn is not None else {}

    @cached_property
    def _slots(self) -> dict[str, Slot]:
        return {name: self._make_slot(name) for name in self.signature.parameters}

    @cached_property
    def _positional(self) -> tuple[Slot, ...]:
        return tuple(self._slots[name] for name in self._names)

    @cached_property
    def _rest(self) -> Slot | None:
        return self._star(inspect.Parameter.VAR_POSITIONAL)

    @cached_property
    def _more(self) -> Slot | None:
        return self._star(inspect.Parameter.VAR_KEYWORD)

    @cached_property
    def _result(self) -> Slot:
        return Slot(f"{self.name}(): the result", self._hints.get("return", Any))

    @cached_property
    def _typed(self) -> bool:
        return any(slot.typed for slot in self._slots.values())

    def _make_slot(self, name: str) -> Slot:
        return Slot(f"{self.name}(): argument {name!r}", self._hints.get(name, Any))

    def _star(self, kind: Any) -> Slot | None:
        return next((self._slots[x.name] for x in self.signature.parameters.values() if x.kind is kind), None)

    def _slot(self, keyword: str) -> Slot:
        slot = self._slots.get(keyword)
        return slot or self._more or Slot(f"{self.name}(): argument {keyword!r}", Any)

    def _encode_each(self, args: Sequence[Any], kwargs: Mapping[str, Any], before: int = 0) -> bytes:
        slots = self._positional[before:]
        if len(args) > len(slots) and self._rest is not None:
            slots = slots + (self._rest,) * (len(args) - len(slots))
        positional = b",".join([slot.encode(value) for slot, value in zip(slots, args, strict=False)])
        named = b",".join([_encode(key) + b":" + self._slot(key).encode(value) for key, value in kwargs.items()])
        return b"[[" + positional + b"],{" + named + b"}]"


def encode_value(value: object, what: str = "the value") -> bytes:
    """JSON of a value without annotation; EncodeError names it by ``what``."""
    return tagged.encode(value, what)


def decode_value(data: bytes, slot: Slot | None = None) -> Any:
    """The value of JSON written by :func:`encode_value`, or by ``slot``. Raises DecodeError."""
    try:
        value = _decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise DecodeError(f"{slot.what if slot else 'the value'} is not JSON: {exc}") from None
    if MARKER in data:
        value = untag(value)
    return value if slot is None else slot.decode(value)


def resolve_hints(fn: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of ``fn`` as types; those that cannot be resolved are left out."""
    try:
        return typing.get_type_hints(fn, include_extras=True)
    except Exception:  # whatever evaluating somebody's annotation raises
        return _resolve_one_by_one(fn)


def _resolve_one_by_one(fn: Callable[..., Any]) -> dict[str, Any]:
    hints: dict[str, Any] = {}
    inner = inspect.unwrap(fn)
    for name, annotation in getattr(fn, "__annotations__", {}).items():

        def holder() -> None: ...

        holder.__annotations__ = {name: annotation}
        try:
            hints |= typing.get_type_hints(holder, getattr(inner, "__globals__", {}), include_extras=True)
        except Exception:
            continue
    return hints


def _anything(*args: Any, **kwargs: Any) -> Any: ...


_NO_KWARGS: dict[str, Any] = {}


def _kinds(info: Any) -> set[type]:
    """The classes of every node of a type's description."""
    kinds: set[type] = set()
    seen: set[int] = set()
    todo = [info]
    while todo:
        node = todo.pop()
        if isinstance(node, tuple | list):
            todo.extend(node)
        elif isinstance(node, mi.Type | mi.Field) and id(node) not in seen:
            seen.add(id(node))
            kinds.add(type(node))
            todo.extend(getattr(node, name) for name in node.__struct_fields__)
    return kinds


def _exact(info: Any) -> frozenset[type]:
    """The scalar types whose values fit ``info`` with no conversion and no constraint to check."""
    if isinstance(info, mi.UnionType):
        return frozenset().union(*(_exact(kind) for kind in info.types))
    if isinstance(info, mi.AnyType):
        return _SCALARS
    plain = _PLAIN.get(type(info))
    if plain is None or any(getattr(info, name) is not None for name in info.__struct_fields__):
        return frozenset()
    return frozenset((plain,))
