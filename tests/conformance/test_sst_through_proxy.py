"""The unmodified bridge where only an egress proxy has a way out, and ``HTTPS_PROXY`` is set.

That is all it takes since SST 3.16.2: both of its connections go through the proxy, which resolves
their names; TLS stays end to end, so no private authority is needed.
"""

from __future__ import annotations

import json
from pathlib import Path

from natless.vpc.topologies import find
from tests.conformance.bridge_lambda import bridge_binary, bridge_function, natless_worker
from tests.conformance.field import open_field
from tests.shell.worker_channel import Facts

HANDLER = "def handler(event, context):\n    return event\n"
CALLS = 20


async def test_calls_of_all_sizes_go_through_the_proxy_and_nowhere_else(tmp_path: Path) -> None:
    bridge_binary()
    (code := tmp_path / "code").mkdir()
    (code / "handler.py").write_text(HANDLER)
    facts = Facts()
    big = b'"' + b"0123456789abcdef" * (1 << 16) + b'"'  # a megabyte: nine packets each way
    async with open_field(tmp_path, golden=None) as field:
        await field.vpc.verify(find("egress-proxy"))
        await field.vpc.apply(find("egress-proxy"))  # which lets the router count anew
        async with (
            natless_worker(field, facts, code),
            bridge_function(field, facts) as function,
        ):
            for number in range(CALLS):
                event = json.dumps({"n": number}).encode()
                assert json.loads((await function.invoke(event)).payload) == {"n": number}
            assert (await function.invoke(big)).payload == big
        counters = await field.vpc.counters()
    # One tunnel for the socket, and one for each publish at the least.
    assert counters["proxy"] > CALLS
    assert counters["proxy-way-out"] > CALLS
    assert counters["no-way-out"] == 0
