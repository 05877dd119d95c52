"""First steps: a task, its result, and a rate that is changed while the worker runs."""

from __future__ import annotations

from duly import Duly

app = Duly("duly_tasks")
app.conf.task_annotations = {"duly_tasks.slow_mail": {"rate_limit": "10/m"}}


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task
def divide(x: int, y: int) -> float:
    return x / y


@app.task
def slow_mail(to: str) -> str:
    return f"sent to {to}"


def main() -> None:
    result = add.delay(4, 4)
    print("asked for 4 + 4:", result.get(timeout=20))
    print("ready:", result.ready(), "state:", result.state)
    print("the same, found again by its id:", app.AsyncResult(result.id).get(timeout=20))

    wrong = divide.delay(1, 0)
    print("divided by zero:", repr(wrong.get(timeout=20, propagate=False)), "state:", wrong.state)
    print("its traceback ends:", (wrong.traceback or "").strip().splitlines()[-1])

    app.control.rate_limit("duly_tasks.slow_mail", "6000/m")
    mails = [slow_mail.delay(name) for name in ("ada", "grace", "mary")]
    print("mails:", [mail.get(timeout=20) for mail in mails])


if __name__ == "__main__":
    main()
