"""From an API's configuration to its authorizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from relay.auth.api_key import ApiKeyAuthorizer
from relay.auth.base import Authorizer

if TYPE_CHECKING:
    from relay.auth.sigv4 import Verify
    from relay.config import ApiConfig


def make_authorizers(config: ApiConfig, *, wall: Callable[[], float]) -> list[Authorizer]:
    """One authorizer for each mode that has something to prove oneself with.

    Args:
        config: of one API.
        wall: seconds since 1970.
    """
    authorizers: list[Authorizer] = []
    if config.api_keys:
        authorizers.append(ApiKeyAuthorizer(config.api_keys, wall=wall))
    if config.iam:
        from relay.auth.sigv4 import Sigv4Authorizer  # only who signs pays for the import

        authorizers.append(
            Sigv4Authorizer(
                {one.access_key_id: one.secret_access_key for one in config.iam},
                region=config.region,
                verify=cast("Verify", config.verify),
                clock=wall,
                account=config.account,
            )
        )
    return authorizers
