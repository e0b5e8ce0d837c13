"""Says who ran it: your machine in Live mode, or the copy that was deployed."""

import json
import os
import platform


def handler(event, context):
    is_live = os.environ.get("NATLESS_LIVE") == "true"
    answer = {
        "message": f"Hello from the {'developer' if is_live else 'deployed'} code!",
        "machine": platform.node(),
        "process": os.getpid(),
        "request": context.aws_request_id,
    }
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(answer),
    }
