"""Pickled arguments and results, for programs that ask for them by name.

Reading a pickle runs code that its writer chose. So one is only written if ``serializer="pickle"`` says so (at the
task, the call, or ``task_serializer``), and only read by an app whose ``accept_content`` names pickle; whoever can
write its store can then run anything as its workers.

A pickled call is stored as ``[[{"__type__": "pickle", "__value__": base64}], {}]``.
"""

from __future__ import annotations

import base64
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import msgspec

from duly.codec import Codec
from duly.errors import ConfigError, DecodeError, EncodeError
from duly.tagged import short

_PREFIX = b'{"__type__":"pickle","__value__":"'
_CALL = b"[[" + _PREFIX
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
        if not (_forced.get() or self._pickling()):
            return super().encode_args(args, kwargs)
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as exc:
            raise TypeError(f"{self.name}() {exc}; its parameters are {self.signature}") from None
        return b"[[" + self._dump((list(args), dict(kwargs)), "its arguments") + b"],{}]"

    def decode_args(self, data: bytes) -> tuple[list[Any], dict[str, Any]]:
        if not data.startswith(_CALL):
            return super().decode_args(data)
        args, kwargs = self._load(msgspec.json.decode(data)[0][0])
        return list(args), dict(kwargs)

    def encode_result(self, value: object) -> bytes:
        return self._dump(value, "the result") if self._pickling() else super().encode_result(value)

    def decode_result(self, data: bytes) -> Any:
        return self._load(msgspec.json.decode(data)) if data.startswith(_PREFIX) else super().decode_result(data)

    def _dump(self, value: object, what: str) -> bytes:
        try:
            data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
        except Exception as exc:  # whatever an object's own methods raise
            raise EncodeError(f"{self.name}(): {what} cannot be pickled: {short(value)} ({exc})") from None
        return _PREFIX + base64.b64encode(data) + b'"}'

    def _load(self, tagged: dict[str, str]) -> Any:
        if not self._accepted():
            raise DecodeError(
                f"{self.name}(): its stored value is a pickle, and accept_content of this app does not name pickle"
            )
        try:
            return pickle.loads(base64.b64decode(tagged["__value__"]))
        except Exception as exc:
            raise DecodeError(f"{self.name}(): the stored pickle cannot be read: {exc}") from exc
