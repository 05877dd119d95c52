"""An app whose only task notes that it ran; ``NOTES`` names the file."""

import os

from duly import Duly

app = Duly("moving")


@app.task
def note(i: int) -> int:
    with open(os.environ["NOTES"], "a") as file:
        file.write(f"{i}\n")
    return i * i
