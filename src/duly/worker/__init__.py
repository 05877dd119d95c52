"""The worker: a supervisor that runs no user code, and the executors it starts, watches and ends.

``supervisor.run(options)`` is the way in. What can go wrong in here, and what is done about it, is in
``docs/worker.md``.
"""
