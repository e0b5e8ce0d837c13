"""Stelvio's listener, unmodified, with one endpoint registered as a component would do it."""

import json
import os
from typing import Any

from stelvio.bridge.local.dtos import BridgeInvocationResult
from stelvio.bridge.local.handlers import WebsocketHandlers
from stelvio.bridge.local.listener import run_bridge_server
from stelvio.component import BridgeableMixin


class Endpoint(BridgeableMixin):
    _dev_endpoint_id = "ep-1"

    async def _handle_bridge_event(self, data: dict[str, Any]) -> BridgeInvocationResult:
        event = json.loads(data["event"])["event"]
        failed = event.get("fail")
        return BridgeInvocationResult(
            success_result=None if failed else {"statusCode": 200, "body": event["body"]},
            error_result=ValueError(failed) if failed else None,
            request_path="/",
            request_method="GET",
            process_time_local=0.0,
            status_code=500 if failed else 200,
            handler_name="app.handler",
        )


WebsocketHandlers.register(Endpoint())
run_bridge_server(region=os.environ["AWS_REGION"], profile=None, app_name="my_app", env="dev")
