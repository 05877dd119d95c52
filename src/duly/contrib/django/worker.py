"""What workers and the command line are pointed at: ``duly -A duly.contrib.django.worker worker``, which is
``manage.py duly worker`` where ``DJANGO_SETTINGS_MODULE`` is set."""

from __future__ import annotations

import django

from duly.contrib.django.project import project_app

django.setup()
app = project_app()
