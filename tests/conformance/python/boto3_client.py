"""boto3, client of the AppSync control plane, on the region's own endpoint."""

import time
from typing import Any

import boto3
from botocore.exceptions import ClientError
from checks import SETTINGS, check

EVENT_CONFIG = {
    "authProviders": [{"authType": "AWS_IAM"}, {"authType": "API_KEY"}],
    "connectionAuthModes": [{"authType": "AWS_IAM"}, {"authType": "API_KEY"}],
    "defaultPublishAuthModes": [{"authType": "AWS_IAM"}, {"authType": "API_KEY"}],
    "defaultSubscribeAuthModes": [{"authType": "AWS_IAM"}, {"authType": "API_KEY"}],
}
BAD_REQUEST, NOT_FOUND, CONFLICT = 400, 404, 409


def refused(call: Any, **arguments: Any) -> tuple[str, int]:
    try:
        call(**arguments)
    except ClientError as error:
        response = error.response
        return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]
    raise AssertionError("not refused")


def main() -> None:
    appsync = boto3.client("appsync", region_name=SETTINGS["region"])
    with check("lists the relay's own API"):
        (own,) = appsync.list_apis()["apis"]
        dns = appsync.get_api(apiId=own["apiId"])["api"]["dns"]
        assert dns == {"HTTP": SETTINGS["httpHost"], "REALTIME": SETTINGS["realtimeHost"]}, dns
    with check("creates an API with tags, and reads it back"):
        made = appsync.create_api(name="orders", eventConfig=EVENT_CONFIG, tags={"team": "a"})[
            "api"
        ]
        assert made["name"] == "orders"
        assert made["eventConfig"] == EVENT_CONFIG
        label, _, rest = made["dns"]["HTTP"].partition(".")
        assert len(label) == 26
        assert rest == f"appsync-api.{SETTINGS['region']}.amazonaws.com"
        assert made["apiArn"].endswith(f":apis/{made['apiId']}")
        read = appsync.get_api(apiId=made["apiId"])["api"]
        assert read == made, (read, made)
    api_id, arn = made["apiId"], made["apiArn"]
    with check("channel namespaces: create, read, change, list, delete, and no second of a name"):
        space = appsync.create_channel_namespace(apiId=api_id, name="news")["channelNamespace"]
        assert space["name"] == "news"
        assert space["handlerConfigs"] == {}
        code, status = refused(appsync.create_channel_namespace, apiId=api_id, name="news")
        assert (code, status) == ("ConflictException", CONFLICT)
        changed = appsync.update_channel_namespace(
            apiId=api_id, name="news", publishAuthModes=[{"authType": "AWS_IAM"}]
        )["channelNamespace"]
        assert changed["publishAuthModes"] == [{"authType": "AWS_IAM"}]
        names = appsync.list_channel_namespaces(apiId=api_id)["channelNamespaces"]
        assert [each["name"] for each in names] == ["news"]
        appsync.delete_channel_namespace(apiId=api_id, name="news")
        code, status = refused(appsync.get_channel_namespace, apiId=api_id, name="news")
        assert (code, status) == ("NotFoundException", NOT_FOUND)
    with check("API keys: create, list, extend, delete; the id is the key"):
        expires = int(time.time()) + 365 * 24 * 3600
        key = appsync.create_api_key(apiId=api_id, description="d", expires=expires)["apiKey"]
        assert key["id"].startswith("da2-")
        assert key["expires"] == expires - expires % 3600
        assert [each["id"] for each in appsync.list_api_keys(apiId=api_id)["apiKeys"]] == [
            key["id"]
        ]
        later = appsync.update_api_key(apiId=api_id, id=key["id"], description="e")["apiKey"]
        assert later["description"] == "e"
        appsync.delete_api_key(apiId=api_id, id=key["id"])
        assert appsync.list_api_keys(apiId=api_id)["apiKeys"] == []
    with check("tags of an API by its ARN: add, list, remove"):
        appsync.tag_resource(resourceArn=arn, tags={"stage": "dev"})
        tags = appsync.list_tags_for_resource(resourceArn=arn)["tags"]
        assert tags == {"team": "a", "stage": "dev"}
        appsync.untag_resource(resourceArn=arn, tagKeys=["team", "none"])
        assert appsync.list_tags_for_resource(resourceArn=arn)["tags"] == {"stage": "dev"}
    with check("changes and deletes an API; then nothing of it is found"):
        changed = appsync.update_api(apiId=api_id, name="renamed", eventConfig=EVENT_CONFIG)["api"]
        assert changed["name"] == "renamed"
        appsync.delete_api(apiId=api_id)
        for call in (appsync.get_api, appsync.list_channel_namespaces, appsync.list_api_keys):
            assert refused(call, apiId=api_id) == ("NotFoundException", NOT_FOUND)
    with check("what is not allowed is a BadRequestException with status 400"):
        code, status = refused(appsync.create_api, name="a/b", eventConfig=EVENT_CONFIG)
        assert (code, status) == ("BadRequestException", BAD_REQUEST)


main()
