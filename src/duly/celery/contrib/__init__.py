"""``celery.contrib``: ``abortable``, ``testing`` and the ``pytest`` fixtures."""
