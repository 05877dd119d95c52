"""The example's settings, with the application of probes, and what a test says in ``PROBE_SETTINGS``."""

import json
import os

from office.settings import *  # noqa: F403
from office.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "probe"]
globals().update(json.loads(os.environ["PROBE_SETTINGS"]))
