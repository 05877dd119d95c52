"""The example's settings, with the application of probes, and what a test says in ``PROBE_SETTINGS``."""

import json
import os

import django
from office.settings import *  # noqa: F403
from office.settings import INSTALLED_APPS

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick
INSTALLED_APPS = [*INSTALLED_APPS, "probe"]
globals().update(json.loads(os.environ["PROBE_SETTINGS"]))
INSTALLED_APPS += globals().get("PROBE_APPS", [])
if "TASKS" in globals():
    retried = {"autoretry_for": (ValueError,), "default_retry_delay": 0, "max_retries": 1}
    DULY_TASK_ANNOTATIONS = {"probe.django6.attempt": retried}
    if django.VERSION < (6, 0):
        INSTALLED_APPS.append("django_tasks")
