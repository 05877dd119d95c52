"""An app with recurring work, for real workers to serve."""

import os

from duly import Duly
from duly.schedules import every

app = Duly("beat_app")


@app.periodic(every(0.5), name="often", args=("tick",))
@app.task
def note(text: str) -> None:
    with open(os.environ["NOTES"], "a") as file:
        file.write(text + "\n")
