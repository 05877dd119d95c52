from __future__ import annotations

from duly import Duly

app = Duly("proj", include=["proj.tasks"])
app.config_from_object("settings")
