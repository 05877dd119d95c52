"""Pickled arguments and results, for programs that ask for them by name.

Reading a pickle runs code that its writer chose. So one is only written if ``serializer="pickle"`` says so (at the
task, the call, or ``task_serializer``), and only read by an app whose ``accept_content`` names pickle; whoever can
write its store can then run anything as its workers.

Each value is a pickle by itself, ``{"__type__": "pickle", "__value__": base64}``, so that a chain can hand one on;
texts, whole numbers and None stay what they are.
"""

from __future__ import annotations

import base64
import itertools
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import msgspec

from duly.codec import Codec, decode_value
from duly.errors import ConfigError, DecodeError, EncodeError
from duly.tagged import short

_MARK = b'"__type__":"pickle"'
_PLAIN = (str, int, bool, type(None))  # whose JSON says all
_encode = msgspec.json.Encoder().encode
_PICKLE = ("pickle", "application/x-python-serialize")
_forced: ContextVar[bool] = ContextVar("duly_pickling", default=False)
_JSON = ("json", "application/json")


def check_serializer(where: str, serializer: Any, accepted: Any) -> bool:
    """Whether ``serializer`` is pickle. ConfigError if it is neither that nor JSON, or pickle is not accepted."""
    if serializer is None or serializer in _JSON:
        return False
    if serializer not in _PICKLE:
        raise ConfigError(
            f'{where}: serializer={serializer!r}; duly has "json" and, where accept_content says so, "pickle"'
        )
    if not accepts(accepted):
        raise ConfigError(
            f"{where}: serializer='pickle' needs app.conf.accept_content = ['json', 'pickle']: reading a pickle runs "
            "code, so an app has to say that it does"
        )
    return True


def accepts(accepted: Any) -> bool:
    """Whether a value of ``accept_content`` names pickle."""
    return isinstance(accepted, list | tuple | set | frozenset) and any(each in _PICKLE for each in accepted)


@contextmanager
def pickling_arguments() -> Iterator[None]:
    """Calls that are encoded meanwhile, here, have pickled arguments."""
    token = _forced.set(True)
    try:
        yield
    finally:
        _forced.reset(token)


class PickleCodec(Codec):
    """A task's codec that also reads pickles, if ``accepted()``; and writes them if ``pickling()``."""

    def __init__(
        self,
        name: str,
        fn: Callable[..., Any] | None,
        *,
        skip_first: bool = False,
        pickling: Callable[[], bool],
        accepted: Callable[[], bool],
    ) -> None:
        super().__init__(name, fn, skip_first=skip_first)
        self._pickling = pickling
        self._accepted = accepted

    def encode_args(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        return self._dump_call(args, kwargs, 0) if self._writes() else super().encode_args(args, kwargs)

    def encode_rest(self, args: Sequence[Any], kwargs: Mapping[str, Any], before: int) -> bytes:
        return self._dump_call(args, kwargs, before) if self._writes() else super().encode_rest(args, kwargs, before)

    def decode_args(self, data: bytes) -> tuple[list[Any], dict[str, Any]]:
        return self._load_call(data) if _MARK in data else super().decode_args(data)

    def decode_rest(self, data: bytes, before: int) -> tuple[list[Any], dict[str, Any]]:
        return self._load_call(data) if _MARK in data else super().decode_rest(data, before)

    def encode_result(self, value: object) -> bytes:
        return self._dump(value, "the result") if self._pickling() else super().encode_result(value)

    def decode_result(self, data: bytes) -> Any:
        return self._load(decode_value(data)) if _MARK in data else super().decode_result(data)

    def _writes(self) -> bool:
        return _forced.get() or self._pickling()

    def _dump_call(self, args: Sequence[Any], kwargs: Mapping[str, Any], before: int) -> bytes:
        self._check_names((*itertools.repeat(None, before), *args), kwargs)
        positional = b",".join([self._dump(value, "an argument") for value in args])
        named = b",".join(
            [_encode(key) + b":" + self._dump(value, f"argument {key!r}") for key, value in kwargs.items()]
        )
        return b"[[" + positional + b"],{" + named + b"}]"

    def _load_call(self, data: bytes) -> tuple[list[Any], dict[str, Any]]:
        args, kwargs = self._load(decode_value(data))
        return args, kwargs

    def _dump(self, value: object, what: str) -> bytes:
        if type(value) in _PLAIN:
            return _encode(value)
        try:
            data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
        except Exception as exc:  # whatever an object's own methods raise
            raise EncodeError(f"{self.name}(): {what} cannot be pickled: {short(value)} ({exc})") from None
        return _encode({"__type__": "pickle", "__value__": base64.b64encode(data).decode()})

    def _load(self, value: Any) -> Any:
        """``value`` with what the pickles in it hold."""
        if isinstance(value, list):
            return [self._load(each) for each in value]
        if not isinstance(value, dict):
            return value
        if value.get("__type__") != "pickle":
            return {key: self._load(each) for key, each in value.items()}
        if not self._accepted():
            raise DecodeError(
                f"{self.name}(): a stored value is a pickle, and accept_content of this app does not name pickle"
            )
        try:
            return pickle.loads(base64.b64decode(value["__value__"]))
        except Exception as exc:
            raise DecodeError(f"{self.name}(): the stored pickle cannot be read: {exc}") from exc
