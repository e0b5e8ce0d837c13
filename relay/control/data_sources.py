"""Data sources: kept and shown; handlers are what would use them."""

from __future__ import annotations

from typing import Any

from relay.control.desk import Asked, Desk, page
from relay.control.errors import BadRequest, NotFound
from relay.control.state import Document

_NEEDS = {
    "AWS_LAMBDA": "lambdaConfig",
    "AMAZON_DYNAMODB": "dynamodbConfig",
    "AMAZON_ELASTICSEARCH": "elasticsearchConfig",
    "HTTP": "httpConfig",
    "RELATIONAL_DATABASE": "relationalDatabaseConfig",
    "AMAZON_OPENSEARCH_SERVICE": "openSearchServiceConfig",
    "AMAZON_EVENTBRIDGE": "eventBridgeConfig",
}


def create_data_source(desk: Desk, asked: Asked) -> dict[str, Any]:
    """CreateDataSource."""
    api_id, name = asked["apiId"], asked["name"]
    desk.api(api_id)
    if desk.draft.get("data-source", f"{api_id}/{name}") is not None:
        raise BadRequest(f"The data source {name} exists already.")
    if len(desk.draft.all("data-source", under=f"{api_id}/")) >= desk.quotas.data_sources:
        raise BadRequest(f"An API may have {desk.quotas.data_sources} data sources.")
    return {"dataSource": _put(desk, asked)}


def list_data_sources(desk: Desk, asked: Asked) -> dict[str, Any]:
    """ListDataSources."""
    desk.api(asked["apiId"])
    records = desk.draft.all("data-source", under=f"{asked['apiId']}/")
    return page(records, asked, name="dataSources", show=lambda document: document)


def get_data_source(desk: Desk, asked: Asked) -> dict[str, Any]:
    """GetDataSource."""
    return {"dataSource": _find(desk, asked)}


def update_data_source(desk: Desk, asked: Asked) -> dict[str, Any]:
    """UpdateDataSource: all of it is replaced."""
    _find(desk, asked)
    return {"dataSource": _put(desk, asked)}


def delete_data_source(desk: Desk, asked: Asked) -> dict[str, Any]:
    """DeleteDataSource."""
    _find(desk, asked)
    desk.draft.delete("data-source", f"{asked['apiId']}/{asked['name']}")
    return {}


def _find(desk: Desk, asked: Asked) -> Document:
    desk.api(asked["apiId"])
    document = desk.draft.get("data-source", f"{asked['apiId']}/{asked['name']}")
    if document is None:
        raise NotFound(f"The data source {asked['name']} was not found.")
    return document


def _put(desk: Desk, asked: Asked) -> Document:
    needed = _NEEDS.get(asked["type"])
    if needed is not None and needed not in asked:
        raise BadRequest(f"A data source of type {asked['type']} needs {needed}.")
    api_id, name = asked["apiId"], asked["name"]
    region = desk.api(api_id)["apiArn"].split(":")[3]
    rest = {k: v for k, v in asked.items() if k not in ("apiId", "name")}
    arn = desk.arn(f"apis/{api_id}/datasources/{name}", region=region)
    document = {"dataSourceArn": arn, "name": name, **rest}
    desk.draft.put("data-source", f"{api_id}/{name}", document)
    return document
