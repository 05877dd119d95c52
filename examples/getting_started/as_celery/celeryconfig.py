"""Settings of the project. ``python -m celeryconfig`` says nothing if it can be read; ``duly config check``, more."""

broker_url = "pyamqp://guest@localhost//"
result_backend = "rpc://"
task_serializer = "json"
result_serializer = "json"
accept_content = ["json"]
timezone = "Europe/Oslo"
enable_utc = True
task_routes = {"proj.tasks.mul": "low-priority"}
task_annotations = {"proj.tasks.mul": {"rate_limit": "6000/m"}}
