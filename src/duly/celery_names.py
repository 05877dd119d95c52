"""Names of Celery's that duly has no need of, or has otherwise: settings, options of tasks and of calls, pools.

Whoever brings a Celery app along is told what becomes of a name, in one line, where it is refused. Pure data.
"""

from __future__ import annotations

_ACKS = "a job stays in the store until it has ended and is run again if its worker dies; not with at_most_once"
_BROKER = 'there is no broker: store="sqlite:///path/duly.db" is all there is'
_BACKEND = "results are kept in the store, beside their jobs"
_JSON = "arguments and results are JSON, by the task's annotations"
_IMPORT = "a worker imports the module that -A names; import your other modules of tasks there"
_PREFETCH = "a worker holds no more jobs than it can start within moments, so there is no number to choose"
_EVENTS = "the store knows everything that happens: duly status --watch"
_ROUTES = 'say the queue at the task, @app.task(queue="..."), at the call, or in task_annotations'
_PRIORITY = "priority (0 to 9, 9 first) works in every queue without being declared"
_LEASE = "a worker that dies is noticed by worker_lease, however long its jobs take"

_REASONS = {
    # settings
    "accept_content": _JSON,
    "beat_schedule_filename": "schedules are in the store",
    "beat_scheduler": "schedules are in the store, and every worker makes their jobs",
    "beat_max_loop_interval": "schedules are in the store, and every worker makes their jobs",
    "broker": _BROKER,
    "cache_backend": _BACKEND,
    "database_url": _BACKEND,
    "enable_utc": "instants are UTC always; timezone says how a naive eta is read and schedules are computed",
    "imports": _IMPORT,
    "include": _IMPORT,
    "redis_url": _BROKER,
    "task_acks_late": _ACKS,
    "task_acks_on_failure_or_timeout": _ACKS,
    "task_create_missing_queues": "a queue needs no declaration",
    "task_default_exchange": _ROUTES,
    "task_default_rate_limit": 'say it at the tasks, or for all: task_annotations={"*": {"rate_limit": "10/s"}}',
    "task_default_routing_key": _ROUTES,
    "task_queue_max_priority": _PRIORITY,
    "task_queues": "a queue needs no declaration; worker -Q says which are served",
    "task_reject_on_worker_lost": _ACKS,
    "task_remote_tracebacks": "the worker's traceback comes with every exception, as a note",
    "task_routes": _ROUTES,
    "task_send_sent_event": _EVENTS,
    "task_store_errors_even_if_ignored": "errors are always kept",
    "task_track_started": "the store always knows what runs",
    "task_compression": _JSON,
    "timezone_aware": "instants are UTC always",
    "visibility_timeout": _LEASE,
    "broker_transport_options": _LEASE,
    "worker_disable_rate_limits": "a task without rate_limit has none",
    "worker_enable_remote_control": "messages to workers go through the store and are always on",
    "worker_hijack_root_logger": "what is logged in a worker goes to standard error, or to --logfile",
    "worker_lost_wait": _LEASE,
    "worker_prefetch_multiplier": _PREFETCH,
    "worker_proc_alive_timeout": _LEASE,
    "worker_send_task_events": _EVENTS,
    "worker_cancel_long_running_tasks_on_connection_loss": _LEASE,
    # options of tasks and of calls
    "acks_late": _ACKS,
    "acks_on_failure_or_timeout": _ACKS,
    "backend": _BACKEND,
    "base": "a task is a function; what tasks share is an ordinary function or decorator",
    "compression": _JSON,
    "connection": _BROKER,
    "exchange": _ROUTES,
    "link": "call the next task from the end of this one, with a key so that it is stored once",
    "link_error": "handle the exception in the task and call the other task from there",
    "producer": _BROKER,
    "reject_on_worker_lost": _ACKS,
    "routing_key": _ROUTES,
    "send_events": _EVENTS,
    "serializer": _JSON,
    "shadow": "a job goes by its task's name; headers carry what else is to be seen",
    "store_errors_even_if_ignored": "errors are always kept",
    "throws": "a failed job is a failed job; catch in the task what is expected",
    "track_started": "the store always knows what runs",
    "trail": "there is no tree of results",
    "typing": "arguments are always checked against the function's signature",
    # pools
    "eventlet": "write the task as async def and use -P async; blocking code runs with -P thread",
    "gevent": "write the task as async def and use -P async; blocking code runs with -P thread",
    "custom": "the pools are process, thread and async",
}  # fmt: skip

_PREFIXES = {
    "broker_": _BROKER,
    "result_backend": _BACKEND,
    "redis_": _BROKER,
    "task_serializer": _JSON,
    "result_serializer": _JSON,
    "event_": _EVENTS,
    "worker_autoscale": "set worker_concurrency, or change it while it runs: duly control pool_grow, pool_shrink",
    "security_": "there is no message to sign: who may write the store's file may give orders",
}
"""For families of names; ``_REASONS`` comes first."""


def reason(name: str) -> str | None:
    """Why duly has no such name, if it is one of Celery's: one clause, without a full stop."""
    found = modern(name)
    if found in _REASONS:
        return _REASONS[found]
    return next((why for prefix, why in _PREFIXES.items() if found.startswith(prefix)), None)


def modern(name: str) -> str:
    """``CELERY_TASK_SERIALIZER`` as it is written now: ``task_serializer``."""
    return name.lower().removeprefix("celery_")


def not_needed(name: str) -> str:
    """``; it is Celery's and not needed here: ...`` for a name of Celery's, else nothing."""
    why = reason(name)
    return f"; it is Celery's and not needed here: {why}" if why else ""
