"""The dashboard: ``duly dashboard`` serves it, ``duly.web.dashboard`` mounts it. Needs ``pip install duly[web]``.

A request passes ``guard.py`` and comes to a page of ``pages/``, which asks the store and renders a template with
``site.py``. Nothing on the way counts rows: ``snapshot.py`` has what goes on now, ``history.py`` the statistics,
``search.py`` looks for jobs with the work bounded.
"""

from duly.web.access import Viewer
from duly.web.app import dashboard

__all__ = ["Viewer", "dashboard"]
