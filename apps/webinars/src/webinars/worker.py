"""What a worker imports: ``duly -A webinars.worker worker``.

The settings are those that ``WEBINARS_SETTINGS`` names, else the user's.
"""

from __future__ import annotations

from webinars.service import Service
from webinars.settings import load, path

service = Service(load(path()))
service.open_door()
app = service.app
