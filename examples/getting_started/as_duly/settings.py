"""Settings of the project; ``duly config check settings`` reads them."""

timezone = "Europe/Oslo"
result_expires = 3600
task_routes = {"proj.tasks.mul": "low-priority"}
task_annotations = {"proj.tasks.mul": {"rate_limit": "6000/m"}}
