"""A FastAPI application that leaves slow work to duly. No call of duly's blocks the event loop.

duly -A tasks worker -P async    # in one shell
uvicorn web:web                  # in another
curl -H "content-type: application/json" -d '{"text": "some words"}' localhost:8000/reports
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field
from tasks import Report, app, count_words


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Let go of the store at the end."""
    yield
    await asyncio.to_thread(app.close)


web = FastAPI(lifespan=lifespan)


class Question(BaseModel):
    text: str = Field(min_length=1)
    pause: float = 0.0


class Asked(BaseModel):
    report: str


class Answer(BaseModel):
    state: str
    report: Report | None = None
    why: str | None = None


@web.post("/reports", status_code=202)
async def ask(question: Question) -> Asked:
    """Ask for a report: 202, and where it will be."""
    job = await count_words.adelay(question.text, question.pause)
    return Asked(report=f"/reports/{job.id}")


@web.get("/reports/{id}")
def show(id: str) -> Answer:
    """The report, or how far it is. (FastAPI calls a plain function in a thread.)"""
    job = app.AsyncResult(id)
    state = job.state
    if state == "unknown":
        raise HTTPException(404)
    if state == "succeeded":
        return Answer(state=state, report=Report.model_validate(job.result))
    return Answer(state=state, why=app.why(id))


@web.get("/reports/{id}/wait")
async def wait(id: str, seconds: float = 10.0) -> Answer:
    """The report as soon as it is there: the request waits, and nothing else does."""
    try:
        found = await app.AsyncResult(id).aget(timeout=min(seconds, 60.0))
    except TimeoutError as error:
        raise HTTPException(504, str(error)) from None
    return Answer(state="succeeded", report=Report.model_validate(found))
