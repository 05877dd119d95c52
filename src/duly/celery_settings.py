"""Celery's settings: what became of those that duly has no use for, and the names they had before Celery 4.

A configuration written for Celery loads: what has no effect here is kept, can be read back, and is answered with
one clause that says why (``duly config check``). Pure data and a rule for the old names.
"""

from __future__ import annotations

from collections.abc import Container

_ACKS = "a job stays in the store until it has ended and is run again if its worker dies; not with at_most_once"
_BROKER = "jobs are kept in the store, not in a broker; duly config show says where it is"
_BACKEND = "results are kept in the store, beside their jobs"
_JSON = "arguments and results are JSON, by the task's annotations; under duly.celery pickle too, if it is accepted"
_PREFETCH = "a worker holds no more jobs than it can start within moments, so there is no number to choose"
_EVENTS = "the store knows everything that happens: duly status --watch"
_LEASE = "a worker that dies is noticed by worker_lease, however long its jobs take"
_SCHEDULES = "schedules are in the store, and every worker makes their jobs"
_LOG = "what is logged in a worker goes to standard error, or to --logfile, in one form"
_POOL = "the supervisor and its executors have nothing of the kind to choose"
_SIGNING = "there is no message to sign: who may write the store may give orders"
_CHORDS = "the members of a chord are counted in the store"
_MEANS = "queues are rows of the store: there is nothing to declare at a broker"

_GROUPS = {
    _ACKS: "task_acks_late task_acks_on_failure_or_timeout task_reject_on_worker_lost",
    _BROKER: (
        "broker_read_url broker_write_url broker_host broker_port broker_user broker_password "
        "broker_vhost broker_transport broker_use_ssl broker_login_method broker_heartbeat "
        "broker_heartbeat_checkrate broker_pool_limit broker_connection_timeout broker_connection_retry "
        "broker_connection_retry_on_startup broker_connection_max_retries broker_channel_error_retry "
        "broker_failover_strategy broker_native_delayed_delivery_queue_type"
    ),
    _BACKEND: (
        "result_backend_always_retry result_backend_base_sleep_between_retries_ms "
        "result_backend_max_retries result_backend_max_sleep_between_retries_ms result_backend_transport_options "
        "result_exchange result_exchange_type result_persistent result_cache_max cache_backend cache_backend_options "
        "database_url database_create_tables_at_setup database_engine_options database_short_lived_sessions "
        "database_table_names database_table_schemas redis_url redis_backend_use_ssl redis_db redis_host "
        "redis_max_connections redis_password redis_port redis_retry_on_timeout redis_socket_connect_timeout "
        "redis_socket_keepalive redis_socket_timeout redis_username redis_backend_health_check_interval "
        "mongodb_backend_settings arangodb_backend_settings couchbase_backend_settings "
        "azureblockblob_base_path azureblockblob_connection_timeout azureblockblob_container_name "
        "azureblockblob_read_timeout azureblockblob_retry_increment_base azureblockblob_retry_initial_backoff_sec "
        "azureblockblob_retry_max_attempts cassandra_auth_kwargs cassandra_auth_provider cassandra_bundle_path "
        "cassandra_entry_ttl cassandra_keyspace cassandra_options cassandra_port cassandra_read_consistency "
        "cassandra_servers cassandra_table cassandra_write_consistency cosmosdbsql_collection_name "
        "cosmosdbsql_consistency_level cosmosdbsql_database_name cosmosdbsql_max_retry_attempts "
        "cosmosdbsql_max_retry_wait_time elasticsearch_max_retries elasticsearch_retry_on_timeout "
        "elasticsearch_save_meta_as_text elasticsearch_timeout gcs_base_path gcs_bucket gcs_project gcs_ttl "
        "s3_access_key_id s3_base_path s3_bucket s3_endpoint_url s3_region s3_secret_access_key"
    ),
    _JSON: (
        "result_accept_content task_serializer result_serializer event_serializer task_compression result_compression"
    ),
    _PREFETCH: (
        "worker_prefetch_multiplier worker_disable_prefetch worker_enable_prefetch_count_reduction "
        "worker_eta_task_limit worker_detect_quorum_queues"
    ),
    _EVENTS: (
        "task_send_sent_event event_exchange event_queue_durable event_queue_exclusive "
        "event_queue_expires event_queue_prefix event_queue_ttl"
    ),
    _LEASE: (
        "visibility_timeout worker_lost_wait worker_proc_alive_timeout "
        "worker_cancel_long_running_tasks_on_connection_loss"
    ),
    _SCHEDULES: "beat_scheduler beat_schedule_filename beat_max_loop_interval beat_sync_every",
    _LOG: (
        "worker_hijack_root_logger worker_log_color worker_log_format worker_task_log_format worker_redirect_stdouts "
        "worker_redirect_stdouts_level"
    ),
    _POOL: (
        "worker_agent worker_autoscaler worker_consumer worker_pool_putlocks worker_timer worker_timer_precision"
    ),
    _SIGNING: "security_cert_store security_certificate security_digest security_key security_key_password",
    _CHORDS: "result_chord_join_timeout result_chord_retry_interval",
    _MEANS: (
        "task_create_missing_queue_exchange_type "
        "task_default_delivery_mode control_queue_ttl "
        "control_queue_expires control_queue_durable control_queue_exclusive control_exchange"
    ),
}
_REASONS = {name: reason for reason, names in _GROUPS.items() for name in names.split()} | {
    "beat_cron_starting_deadline": "each schedule says it for itself: deadline and catch_up",
    "enable_utc": "instants are UTC always; timezone says how a naive eta is read and schedules are computed",
    "task_allow_error_cb_on_chord_header": "the errbacks of a chord are called when a member fails",
    "task_inherit_parent_priority": "a job has the priority of its task or of its call",
    "task_protocol": "a job is a row of the store, whose form is the store's business",
    "task_publish_retry": "a call waits for the store's lock as long as the store's URL says, then raises",
    "task_publish_retry_policy": "a call waits for the store's lock as long as the store's URL says, then raises",
    "task_remote_tracebacks": "the worker's traceback comes with every exception, as a note",
    "task_store_eager_result": "a task that was run eagerly leaves nothing in the store",
    "task_store_errors_even_if_ignored": "errors are always kept",
    "worker_deduplicate_successful_tasks": "a job that has succeeded is in the store as such and does not run again",
    "worker_direct": "a worker that is to have a queue of its own is started with -Q",
    "worker_disable_rate_limits": "a task without rate_limit has none; duly control rate_limit TASK 0 takes one away",
    "worker_enable_soft_shutdown_on_idle": "a worker that stops has nothing in its hands that could be lost",
    "worker_pool_restarts": "duly worker --reload, or a restart: jobs survive it",
    "worker_soft_shutdown_timeout": "TERM finishes what runs, however long; a second TERM gives it back",
    "worker_state_db": "revoked jobs are in the store",
}  # fmt: skip

CELERY_NAMES = tuple(_REASONS)
"""Celery's settings that have no effect here."""

_IRREGULAR = {
    "celeryd_task_soft_time_limit": "task_soft_time_limit",
    "celeryd_task_time_limit": "task_time_limit",
    "celeryd_worker_lost_wait": "worker_lost_wait",
    "celery_eager_propagates_exceptions": "task_eager_propagates",
    "celery_max_cached_results": "result_cache_max",
    "celery_message_compression": "task_compression",
    "celery_result_db_short_lived_sessions": "database_short_lived_sessions",
    "celery_result_db_tablenames": "database_table_names",
    "celery_result_dburi": "database_url",
    "celery_result_engine_options": "database_engine_options",
    "celery_send_events": "worker_send_task_events",
    "celery_send_task_sent_event": "task_send_sent_event",
    "celery_task_result_expires": "result_expires",
}


def reason(name: str) -> str | None:
    """Why a setting of Celery's has no effect here, one clause without a full stop; None if it is none of these."""
    return _REASONS.get(name)


def modern(name: str, known: Container[str]) -> str:
    """The setting that an upper-case name stands for: ``CELERYD_CONCURRENCY`` was ``worker_concurrency``, and with
    Django's prefix ``CELERY_TIMEZONE`` is ``timezone``. A name that stands for none is given back as it is.

    ``known``: the settings there are, beside those of Celery's without effect.
    """
    if name in known or name in _REASONS or name == name.lower():
        return name
    return next((each for each in readings(name) if each in known or each in _REASONS), name)


def readings(name: str) -> list[str]:
    """What an upper-case name may stand for, the likeliest first."""
    lower = name.lower()
    if lower in _IRREGULAR:
        return [_IRREGULAR[lower]]
    for old, new in (("celeryd_", "worker_"), ("celerybeat_", "beat_")):
        if lower.startswith(old):
            return [new + lower.removeprefix(old)]
    bare = lower.removeprefix("celery_")
    return [lower, bare, f"task_{bare}", f"worker_{bare}"]
