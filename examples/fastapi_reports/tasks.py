"""The tasks; the web application and the worker both import them."""

import asyncio
import os

from pydantic import BaseModel

from duly import Duly

app = Duly("reports", store=os.environ.get("REPORTS_STORE"))


class Report(BaseModel):
    words: dict[str, int]
    longest: str


@app.task
async def count_words(text: str, pause: float = 0.0) -> dict[str, object]:
    """How often each word is in the text. ``pause``: seconds to take for it."""
    await asyncio.sleep(pause)
    words = text.lower().split()
    counted = {word: words.count(word) for word in sorted(set(words))}
    return Report(words=counted, longest=max(words, key=len, default="")).model_dump()
