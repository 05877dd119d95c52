"""First steps, written for Celery: a task, its result, and a rate that is changed while the worker runs."""

from celery import Celery
from celery.result import AsyncResult

app = Celery("celery_tasks", broker="redis://localhost", backend="redis://localhost")
app.conf.task_annotations = {"celery_tasks.slow_mail": {"rate_limit": "10/m"}}


@app.task
def add(x, y):
    return x + y


@app.task
def divide(x, y):
    return x / y


@app.task
def slow_mail(to):
    return f"sent to {to}"


def main():
    result = add.delay(4, 4)
    print("asked for 4 + 4:", result.get(timeout=20))
    print("ready:", result.ready(), "state:", result.state)
    print("the same, found again by its id:", AsyncResult(result.id, app=app).get(timeout=20))

    wrong = divide.delay(1, 0)
    print("divided by zero:", repr(wrong.get(timeout=20, propagate=False)), "state:", wrong.state)
    print("its traceback ends:", wrong.traceback.strip().splitlines()[-1])

    app.control.rate_limit("celery_tasks.slow_mail", "6000/m")
    mails = [slow_mail.delay(name) for name in ("ada", "grace", "mary")]
    print("mails:", [mail.get(timeout=20) for mail in mails])


if __name__ == "__main__":
    main()
