"""Custom domains, and which API each leads to."""

from __future__ import annotations

from typing import Any

from relay.control.desk import Asked, Desk, page
from relay.control.errors import BadRequest, NotFound
from relay.control.state import Document

CLOUDFRONT_ZONE = "Z2FDTNDATAQYW2"  # Route 53 developer guide: the zone of every distribution


def create_domain_name(desk: Desk, asked: Asked) -> dict[str, Any]:
    """CreateDomainName."""
    name = asked["domainName"].lower()
    if desk.draft.get("domain", name) is not None:
        raise BadRequest(f"The domain name {name} exists already.")
    if len(desk.draft.all("domain")) >= desk.quotas.domains:
        raise BadRequest(f"There may be {desk.quotas.domains} domain names.")
    document = {
        "domainName": name,
        **({"description": asked["description"]} if "description" in asked else {}),
        "certificateArn": asked["certificateArn"],
        "appsyncDomainName": f"d-{desk.new_id(10)}.cloudfront.net",
        "hostedZoneId": CLOUDFRONT_ZONE,
        "tags": dict(asked.get("tags", {})),
        "domainNameArn": desk.arn(f"domainnames/{name}"),
    }
    desk.draft.put("domain", name, document)
    return {"domainNameConfig": document}


def list_domain_names(desk: Desk, asked: Asked) -> dict[str, Any]:
    """ListDomainNames."""
    return page(desk.draft.all("domain"), asked, name="domainNameConfigs", show=_config)


def get_domain_name(desk: Desk, asked: Asked) -> dict[str, Any]:
    """GetDomainName."""
    return {"domainNameConfig": _config(_find(desk, asked))}


def update_domain_name(desk: Desk, asked: Asked) -> dict[str, Any]:
    """UpdateDomainName: the description."""
    document = dict(_find(desk, asked))
    if "description" in asked:
        document["description"] = asked["description"]
    desk.draft.put("domain", document["domainName"], document)
    return {"domainNameConfig": _config(document)}


def delete_domain_name(desk: Desk, asked: Asked) -> dict[str, Any]:
    """DeleteDomainName; not while it leads to an API."""
    document = _find(desk, asked)
    if "apiId" in document:
        raise BadRequest(f"The domain name {document['domainName']} is associated with an API.")
    desk.draft.delete("domain", document["domainName"])
    return {}


def associate_api(desk: Desk, asked: Asked) -> dict[str, Any]:
    """AssociateApi; it has succeeded when it is answered."""
    document = _find(desk, asked)
    desk.api(asked["apiId"])
    if document.get("apiId", asked["apiId"]) != asked["apiId"]:
        raise BadRequest(f"The domain name {document['domainName']} is associated already.")
    changed = {**document, "apiId": asked["apiId"]}
    desk.draft.put("domain", document["domainName"], changed)
    return {"apiAssociation": _association(changed)}


def get_api_association(desk: Desk, asked: Asked) -> dict[str, Any]:
    """GetApiAssociation."""
    return {"apiAssociation": _association(_associated(desk, asked))}


def disassociate_api(desk: Desk, asked: Asked) -> dict[str, Any]:
    """DisassociateApi."""
    document = _associated(desk, asked)
    rest = {k: v for k, v in document.items() if k != "apiId"}
    desk.draft.put("domain", document["domainName"], rest)
    return {}


def _find(desk: Desk, asked: Asked) -> Document:
    document = desk.draft.get("domain", asked["domainName"].lower())
    if document is None:
        raise NotFound(f"The domain name {asked['domainName']} was not found.")
    return document


def _associated(desk: Desk, asked: Asked) -> Document:
    document = _find(desk, asked)
    if "apiId" not in document:
        raise NotFound(f"The domain name {document['domainName']} is not associated with an API.")
    return document


def _config(document: Document) -> Document:
    return {k: v for k, v in document.items() if k != "apiId"}


def _association(document: Document) -> Document:
    return {
        "domainName": document["domainName"],
        "apiId": document["apiId"],
        "associationStatus": "SUCCESS",
    }
