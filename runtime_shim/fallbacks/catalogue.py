"""Every strategy by its name, built from the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from event_protocol.phases import Strategy
from runtime_shim.config import ShimConfig
from runtime_shim.fallbacks.base import Fallback
from runtime_shim.fallbacks.deployed import DeployedFallback
from runtime_shim.fallbacks.error import ErrorFallback
from runtime_shim.fallbacks.faithful import FaithfulFallback
from runtime_shim.fallbacks.http import HttpFallback
from runtime_shim.fallbacks.observe import ObserveFallback
from runtime_shim.fallbacks.ok import OkFallback
from runtime_shim.fallbacks.partial import PartialFallback
from runtime_shim.fallbacks.poll import PollFallback
from runtime_shim.fallbacks.retry import RetryFallback
from runtime_shim.fallbacks.route import RouteFallback
from runtime_shim.fallbacks.sst_text import SstTextFallback
from runtime_shim.fallbacks.static import StaticFallback

_BUILDERS: Mapping[Strategy, Callable[[ShimConfig, Random], Fallback]] = {
    Strategy.DEPLOYED: lambda config, _: DeployedFallback(config),
    Strategy.HTTP: lambda _config, _rng: HttpFallback(),
    Strategy.ERROR: lambda _config, _rng: ErrorFallback(),
    Strategy.RETRY: lambda config, rng: RetryFallback(config.budgets, rng=rng),
    Strategy.ROUTE: lambda config, _: RouteFallback(config),
    Strategy.POLL: lambda config, _: PollFallback(config),
    Strategy.STATIC: lambda config, _: StaticFallback(config.static or b"null"),
    Strategy.OK: lambda config, _: OkFallback(config),
    Strategy.PARTIAL: lambda _config, _rng: PartialFallback(),
    Strategy.OBSERVE: lambda config, _: ObserveFallback(DeployedFallback(config)),
    Strategy.SST_TEXT: lambda config, _: SstTextFallback(config.worker_id),
    Strategy.FAITHFUL: lambda config, _: FaithfulFallback(config),
}


def build_fallbacks(config: ShimConfig, *, rng: Random) -> list[Fallback]:
    """The function's strategies in their order."""
    return [_BUILDERS[each](config, rng) for each in config.fallbacks]
