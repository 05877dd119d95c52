"""A Django project that uses duly: reminders that are sent at their time.

python manage.py migrate
python manage.py duly worker        # in one shell
python manage.py runserver          # in another: POST text and minutes to /reminders/
python manage.py task_eta_test 120 CELERY
"""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "office.settings")
    execute_from_command_line(sys.argv)
