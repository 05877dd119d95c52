"""The part of a Task that makes signatures of it, and that lets a running task go on as a canvas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, TypeVar

from duly.errors import DulyError
from duly.request import current

if TYPE_CHECKING:
    from duly.canvas import chunks, xmap, xstarmap
    from duly.signature import Signature

P = ParamSpec("P")
R = TypeVar("R")


class Replaced(DulyError):
    """Raised by ``self.replace()`` to leave the task; ``sig`` is what the job goes on as."""

    def __init__(self, sig: Signature[Any]) -> None:
        super().__init__(f"replaced by {sig!r}")
        self.sig = sig


class Signs(Generic[P, R]):
    """What a Task knows of signatures."""

    def s(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """A signature of this task; ``args`` may be only its last arguments, if others come before them."""
        from duly.signature import Signature

        return Signature(self, args, kwargs)  # type: ignore[arg-type]  # a Task, of which this is a part

    def si(self, *args: P.args, **kwargs: P.kwargs) -> Signature[R]:
        """An immutable signature: it takes no result of another job."""
        from duly.signature import Signature

        return Signature(self, args, kwargs, immutable=True)  # type: ignore[arg-type]

    def signature(
        self,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
        **options: Any,
    ) -> Signature[R]:
        """A signature with options of ``apply_async``."""
        from duly.signature import Signature

        return Signature(self, args, kwargs, options, immutable=immutable)  # type: ignore[arg-type]

    subtask = signature

    def map(self, it: Iterable[Any]) -> xmap:
        """One job that gives ``[task(x) for x in it]``."""
        from duly.canvas import xmap

        return xmap(self.s(), it)

    def starmap(self, it: Iterable[Sequence[Any]]) -> xstarmap:
        """One job that gives ``[task(*x) for x in it]``."""
        from duly.canvas import xstarmap

        return xstarmap(self.s(), it)

    def chunks(self, it: Iterable[Sequence[Any]], n: int) -> chunks:
        """A group of :meth:`starmap` of ``n`` each."""
        from duly.canvas import chunks

        return chunks(self.s(), it, n)

    def replace(self, sig: Signature[Any]) -> NoReturn:
        """Leave the task, and have the job go on as ``sig``, whatever it is: what follows the job follows that.

        It happens in the transaction that ends this attempt. RuntimeError outside of a job.
        """
        from duly.signature import Signature

        if current.get() is None:
            raise RuntimeError("replace() was called outside of a job; call the signature instead")
        if not isinstance(sig, Signature):
            raise TypeError(f"replace({sig!r}): expected a signature, like task.s()")
        raise Replaced(sig)
