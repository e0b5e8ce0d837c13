"""What of Lambda's API tells who is there to be invoked, and how.

===========================================================  ===============================
``GET  /2015-03-31/functions/``                              ``ListFunctions``
``GET  /2015-03-31/functions/NAME``                          ``GetFunction``
``GET  /2015-03-31/functions/NAME/configuration``            ``GetFunctionConfiguration``
``GET  /2019-09-30/functions/NAME/concurrency``              ``GetFunctionConcurrency``
``GET  /2019-09-25/functions/NAME/event-invoke-config``      ``GetFunctionEventInvokeConfig``
``GET  /2021-10-31/functions/NAME/url``                      ``GetFunctionUrlConfig``
===========================================================  ===============================

Nothing can be changed here: functions are described in ``natless.toml``.
"""

from __future__ import annotations

from typing import Any, NoReturn

from aiohttp import web

from natless.lambda_host.function_name import FunctionName
from natless.lambda_host.host import LambdaHost
from natless.lambda_host.refusal import Refusal
from natless.lambda_host.service import LambdaService
from natless.lambda_host.spec import ACCOUNT, VERSION

SERVICE: web.AppKey[LambdaService] = web.AppKey("service", LambdaService)


def add_function_routes(app: web.Application) -> None:
    """Adds these calls to an application that has a :data:`SERVICE`."""
    functions = "/2015-03-31/functions"
    app.router.add_get(functions + "/{name}/configuration", _get_configuration)
    app.router.add_get(functions + "/{name}", _get_function)
    app.router.add_get(functions + "/", _list_functions)
    app.router.add_get(functions, _list_functions)
    app.router.add_get("/2021-10-31/functions/{name}/url", _get_url)
    app.router.add_get("/2019-09-30/functions/{name}/concurrency", _get_concurrency)
    app.router.add_get("/2019-09-25/functions/{name}/event-invoke-config", _get_event_config)


def find_host(request: web.Request) -> tuple[LambdaHost, str]:
    """The function that the path and the query of a request name, and the qualifier, if any.

    Raises:
        Refusal: there is none, or the name is none.
    """
    try:
        name = FunctionName.parse(request.match_info["name"])
    except ValueError as error:
        raise Refusal(400, "ValidationException", str(error)) from error
    qualifier = request.query.get("Qualifier", "")
    if qualifier and name.qualifier and qualifier != name.qualifier:
        refuse_parameter(
            "The derived qualifier from the function name does not match the specified qualifier."
        )
    qualifier = qualifier or name.qualifier
    return request.app[SERVICE].find(name, qualifier=qualifier), qualifier


def refuse_parameter(message: str) -> NoReturn:
    """Refuses a call for one of its parameters."""
    raise Refusal(400, "InvalidParameterValueException", message)


async def _list_functions(request: web.Request) -> web.Response:
    hosts = request.app[SERVICE].functions.values()
    return web.json_response({"Functions": [_describe(host) for host in hosts]})


async def _get_function(request: web.Request) -> web.Response:
    host, _ = find_host(request)
    code = {"RepositoryType": "natless", "Location": host.spec.task_root.as_uri()}
    return web.json_response({"Configuration": _describe(host), "Code": code, "Tags": {}})


async def _get_configuration(request: web.Request) -> web.Response:
    return web.json_response(_describe(find_host(request)[0]))


async def _get_url(request: web.Request) -> web.Response:
    host, _ = find_host(request)
    url = request.app[SERVICE].urls.get(host.spec.name)
    if url is None:
        raise Refusal(
            404, "ResourceNotFoundException", "The resource you requested does not exist."
        )
    return web.json_response(
        {
            "FunctionUrl": url,
            "FunctionArn": host.spec.arn,
            "AuthType": "NONE",
            "CreationTime": _BEGINNING,
            "LastModifiedTime": _BEGINNING,
            "InvokeMode": "RESPONSE_STREAM" if host.spec.streams_url else "BUFFERED",
        }
    )


async def _get_concurrency(request: web.Request) -> web.Response:
    return web.json_response({"ReservedConcurrentExecutions": find_host(request)[0].concurrency})


async def _get_event_config(request: web.Request) -> web.Response:
    host, _ = find_host(request)
    config = request.app[SERVICE].event_config(host.spec.name)
    targets = (("OnSuccess", config.on_success), ("OnFailure", config.on_failure))
    return web.json_response(
        {
            "LastModified": 0,
            "FunctionArn": f"{host.spec.arn}:{VERSION}",
            "MaximumRetryAttempts": config.retries,
            "MaximumEventAgeInSeconds": int(config.event_age),
            "DestinationConfig": {
                name: {"Destination": target} for name, target in targets if target
            },
        }
    )


_BEGINNING = "1970-01-01T00:00:00.000+0000"  # nobody deployed it


def _describe(host: LambdaHost) -> dict[str, Any]:
    """What AWS tells of a function; its environment is left out, as it may hold secrets."""
    spec = host.spec
    return {
        "FunctionName": spec.name,
        "FunctionArn": spec.arn,
        "Runtime": "provided.al2023",
        "Role": f"arn:aws:iam::{ACCOUNT}:role/natless",
        "Handler": spec.handler,
        "CodeSize": 0,
        "Description": "",
        "Timeout": int(spec.timeout),
        "MemorySize": spec.memory,
        "LastModified": _BEGINNING,
        "Version": VERSION,
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "State": "Active",
        "LastUpdateStatus": "Successful",
    }
