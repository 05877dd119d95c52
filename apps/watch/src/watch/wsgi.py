"""The pages for a WSGI server: ``waitress-serve watch.wsgi:application``; ``watch run`` serves them itself."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "watch.settings")
application = get_wsgi_application()
