"""Django's settings, made of the environment variables in ``environment.py``."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from watch.environment import Environment, make_folder, read, secret_key

WATCH = read()
"""What the environment says."""


def _database(found: Environment) -> dict[str, Any]:
    if not found.database:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": make_folder(found.folder) / "watch.sqlite3",
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "timeout": 30,  # seconds for which a writer waits for another one
                "transaction_mode": "IMMEDIATE",  # wait at the beginning: halfway a transaction can only fail
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
            },
        }
    parts = urlsplit(found.database)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.strip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": None,
        "OPTIONS": dict(parse_qsl(parts.query)),
    }


BASE_DIR = WATCH.folder
SECRET_KEY = secret_key(WATCH)
DEBUG = False
ALLOWED_HOSTS = [str(urlsplit(WATCH.url).hostname), "localhost", "127.0.0.1", "[::1]"]
CSRF_TRUSTED_ORIGINS = [WATCH.url.rstrip("/")]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = WATCH.url.startswith("https:")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SESSION_COOKIE_SECURE else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
USE_TZ = True
TIME_ZONE = WATCH.zone
ROOT_URLCONF = "watch.urls"
WSGI_APPLICATION = "watch.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # the few files are served from the packages they are in; nothing is collected
LOGIN_URL = "admin:login"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "duly.contrib.django",
    "watch",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
LOGGING = {  # what goes wrong behind a page is said on stderr
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "[{asctime} {levelname}] {name}: {message}", "style": "{"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line"},
        "nowhere": {"class": "logging.NullHandler"},
    },
    "loggers": {
        "django": {"handlers": ["stderr"], "level": "ERROR", "propagate": False},
        "django.security.DisallowedHost": {"handlers": ["nowhere"], "propagate": False},  # who scans the internet
        "waitress.queue": {"handlers": ["nowhere"], "propagate": False},  # a page that waits for another one
    },
}
DATABASES = {"default": _database(WATCH)}

DULY_STORE = WATCH.store or WATCH.database or f"sqlite:///{WATCH.folder / 'jobs.db'}"
DULY_WORKER_QUEUES = {"notify": 4, "crawl": 1}
