"""What the project is used for."""

from __future__ import annotations

from typing import Any

from proj.tasks import add, mul, risky, xsum

result = add.delay(2, 2)
print("2 + 2:", result.get(timeout=20))
print("called as a function:", add(2, 2))
print("in its queue:", mul.apply_async((3, 5), queue="low-priority").get(timeout=20))
print("by its route:", mul.delay(4, 5).get(timeout=20))
print("chained:", (add.s(2, 2) | mul.s(8)).apply_async().get(timeout=20))
print("a sum:", xsum.delay([1, 2, 3]).get(timeout=20))

wrong: Any = "2"
try:
    add.delay(2, wrong)
except TypeError as exc:
    print("refused or failed:", type(exc).__name__)

failed = risky.delay(2, None)
print("not propagated:", type(failed.get(timeout=20, propagate=False)).__name__, failed.failed(), failed.successful())
result.forget()
