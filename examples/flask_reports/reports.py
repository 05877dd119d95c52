"""A Flask application that leaves slow work to duly.

duly -A reports worker        # in one shell
flask --app reports run       # in another
curl -d text="some words" localhost:5000/reports
"""

import os
import time
from typing import Any

from flask import Flask, abort, current_app, jsonify, request
from flask.typing import ResponseReturnValue

from duly import Duly, JobUnknown, Task

web = Flask(__name__)
web.config.from_mapping(SHORTEST_WORD=3)
web.config.from_prefixed_env("REPORTS")


class InFlask(Task[..., Any]):
    """A task that runs inside of the application, as a request does: with ``current_app``, extensions and all."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with web.app_context():
            return self.run(*args, **kwargs)


duly = Duly("reports", store=os.environ.get("REPORTS_STORE"))
duly.task_class = InFlask


@duly.task
def count_words(text: str, pause: float = 0.0) -> dict[str, int]:
    """How often each word is in the text, short ones left out. ``pause``: seconds to take for it."""
    time.sleep(pause)
    words = [word for word in text.lower().split() if len(word) >= current_app.config["SHORTEST_WORD"]]
    return {word: words.count(word) for word in sorted(set(words))}


@web.post("/reports")
def ask() -> ResponseReturnValue:
    """Ask for a report: 202, and where it will be."""
    if not request.form.get("text"):
        abort(400, "text is missing")
    job = count_words.delay(request.form["text"], request.form.get("pause", 0.0, type=float))
    return jsonify(report=f"/reports/{job.id}"), 202


@web.get("/reports/<id>")
def show(id: str) -> ResponseReturnValue:
    """The report, or how far it is."""
    job = duly.AsyncResult(id)
    state = job.state
    if state == "unknown":
        abort(404)
    if state == "succeeded":
        return jsonify(state=state, words=job.result)
    return jsonify(state=state, why=duly.why(id))


@web.delete("/reports/<id>")
def withdraw(id: str) -> ResponseReturnValue:
    """Take the question back."""
    return jsonify(cancel=duly.AsyncResult(id).cancel())


@web.errorhandler(JobUnknown)
def gone(error: JobUnknown) -> ResponseReturnValue:
    """It was pruned between two looks."""
    return jsonify(error=str(error)), 404
