"""boto3's paginator over more APIs than one page holds."""

import boto3
from checks import SETTINGS, check

EVENT_CONFIG = {
    "authProviders": [{"authType": "AWS_IAM"}, {"authType": "API_KEY"}],
    "connectionAuthModes": [{"authType": "AWS_IAM"}, {"authType": "API_KEY"}],
    "defaultPublishAuthModes": [{"authType": "AWS_IAM"}, {"authType": "API_KEY"}],
    "defaultSubscribeAuthModes": [{"authType": "AWS_IAM"}, {"authType": "API_KEY"}],
}


def main() -> None:
    appsync = boto3.client("appsync", region_name=SETTINGS["region"])
    with check("pages: thirty APIs come in pages of at most 25, and each once"):
        for number in range(30):
            appsync.create_api(name=f"many-{number}", eventConfig=EVENT_CONFIG)
        pages = list(appsync.get_paginator("list_apis").paginate())
        assert len(pages) > 1
        assert all(len(page["apis"]) <= 25 for page in pages)
        names = [each["name"] for page in pages for each in page["apis"]]
        assert len(names) == len(set(names)) == 31


main()
