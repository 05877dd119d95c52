"""An app as Celery projects have it: its settings are Django's, its tasks are found when a worker loads it."""

import os

from duly import Duly

if "PROBE_CELERY_SETTINGS" in os.environ:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", os.environ["PROBE_CELERY_SETTINGS"])

app = Duly("probe")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
