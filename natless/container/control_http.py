"""The control port: invoke, change the network, read what was seen. Plain HTTP for curl.

==============================================  ==================================================
``POST /invoke``                                the function's answer; the body is the event
``POST /2015-03-31/functions/NAME/invocations``  the same as AWS's Invoke, for its SDKs
``GET /topology``, ``PUT /topology/NAME``       see :mod:`natless.topology_door`
``GET /verdict``                                what is wrong, in a sentence
``GET /report``, ``GET /report.json``           everything that was seen
==============================================  ==================================================

It is published on the machine's loopback only. A page in a browser could still send requests there,
so whatever names another host or comes from another origin is refused.
"""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from natless.container.dev_loop import DevLoop
from natless.container.first_screen import render_first_screen
from natless.lambda_host.host import MAX_REQUEST_BYTES
from natless.report.document import TopologyRun
from natless.report.html_page import render_html
from natless.report.json_doc import render_json
from natless.topology_door import Handler, add_topology_routes, explain_errors

LOOP: web.AppKey[DevLoop] = web.AppKey("loop", DevLoop)

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1", "control"})
_NO_CALL = "No call was made on this network yet: curl -d '{}' http://HOST/invoke\n"


def make_app(loop: DevLoop) -> web.Application:
    """The application; its owner runs it."""
    app = web.Application(
        middlewares=[_refuse_strangers, _explain_errors], client_max_size=MAX_REQUEST_BYTES + 1
    )
    app[LOOP] = loop
    app.router.add_get("/", _show_first_screen)
    app.router.add_post("/invoke", _invoke)
    app.router.add_post("/2015-03-31/functions/{name}/invocations", _invoke_as_aws)
    add_topology_routes(app, loop)
    app.router.add_get("/verdict", _tell_verdict)
    app.router.add_get("/report", _report)
    app.router.add_get("/report.json", _report_json)
    return app


@web.middleware
async def _refuse_strangers(request: web.Request, handler: Handler) -> web.StreamResponse:
    host = urlsplit(f"//{request.host}").hostname or ""
    origin = request.headers.get("Origin")
    if host not in _LOCAL or (origin is not None and urlsplit(origin).netloc != request.host):
        raise web.HTTPForbidden(text="only for this machine's own programs\n")
    return await handler(request)


@web.middleware
async def _explain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    return await explain_errors(handler)(request)


async def _show_first_screen(request: web.Request) -> web.Response:
    loop = request.app[LOOP]
    port = request.host.rpartition(":")[2]
    return web.Response(text=render_first_screen(loop.current, function=loop.spec.name, port=port))


async def _invoke(request: web.Request) -> web.Response:
    payload = await request.read() or b"{}"
    result = await request.app[LOOP].invoke(payload)
    headers = {"X-Natless-Request-Id": result.request_id}
    if result.function_error:
        headers["X-Amz-Function-Error"] = result.function_error
    return web.Response(
        status=result.status,
        body=result.payload.rstrip(b"\n") + b"\n",  # for a person at a terminal
        content_type="application/json",
        headers=headers,
    )


async def _invoke_as_aws(request: web.Request) -> web.Response:
    loop, name = request.app[LOOP], request.match_info["name"]
    if name not in (loop.spec.name, loop.spec.arn):
        body = {"Type": "User", "Message": f"Function not found: {name}"}
        return web.json_response(
            body, status=404, headers={"X-Amzn-ErrorType": "ResourceNotFoundException"}
        )
    context = request.headers.get("X-Amz-Client-Context")
    wants_tail = request.headers.get("X-Amz-Log-Type") == "Tail"
    result = await loop.invoke(
        await request.read() or b"{}",
        client_context=base64.b64decode(context).decode() if context else None,
        log_tail=wants_tail,
    )
    headers = {"X-Amzn-RequestId": result.request_id}
    if result.executed_version:
        headers["X-Amz-Executed-Version"] = result.executed_version
    if result.function_error:
        headers["X-Amz-Function-Error"] = result.function_error
    if wants_tail:
        headers["X-Amz-Log-Result"] = base64.b64encode(result.log_tail).decode()
    return web.Response(
        status=result.status, body=result.payload, content_type="application/json", headers=headers
    )


async def _tell_verdict(request: web.Request) -> web.Response:
    run = await request.app[LOOP].describe_current()
    if run is None:
        return web.Response(status=404, text=_NO_CALL.replace("HOST", request.host))
    if "json" in request.headers.get("Accept", ""):
        return _json(_describe_run(run))
    lines = [f"{run.name}: {run.seen}", run.verdict.sentence]
    lines += [f"  | {line}" for line in run.verdict.excerpt]
    lines += [f"next: {step}" for step in run.verdict.next_steps]
    lines += [f"[{run.verdict.cause}] promised: {run.promised}"]
    return web.Response(text="\n".join(lines) + "\n")


async def _report(request: web.Request) -> web.Response:
    document = await request.app[LOOP].report()
    if not document.topologies:
        return web.Response(status=404, text=_NO_CALL.replace("HOST", request.host))
    return web.Response(text=render_html(document), content_type="text/html")


async def _report_json(request: web.Request) -> web.Response:
    document = await request.app[LOOP].report()
    return web.Response(text=render_json(document), content_type="application/json")


def _describe_run(run: TopologyRun) -> dict[str, Any]:
    verdict = run.verdict
    return {
        "topology": run.name,
        "promised": run.promised,
        "seen": run.seen,
        "kept": run.kept,
        "total": run.total,
        "answered": run.answered,
        "by": {str(strategy): count for strategy, count in run.by.items()},
        "cause": verdict.cause,
        "works": verdict.works,
        "phase": str(verdict.phase) if verdict.phase else None,
        "hop": str(verdict.hop),
        "sentence": verdict.sentence,
        "next": list(verdict.next_steps),
        "excerpt": list(verdict.excerpt),
    }


def _json(body: dict[str, Any]) -> web.Response:
    return web.Response(
        text=json.dumps(body, indent=2, ensure_ascii=False) + "\n", content_type="application/json"
    )
