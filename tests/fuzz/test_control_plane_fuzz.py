"""Whatever is asked of the control plane, it answers with success or a client error."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from relay.config import ApiConfig
from relay.control.operations import OPERATIONS
from relay.control.shapes import INPUTS, Flag, Listing, Structure, Table, Text, Whole
from relay.control.signing import ControlRequest, Signatures
from relay.control.state import MemoryStore
from relay.control_plane import ControlPlane

TEMPLATE = ApiConfig(label="configuredconfiguredconfig")
NOW = 1_800_000_000.0
ANY_TEXT = st.text(st.characters(), max_size=20)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)


def make_plane(live=None):
    live = {} if live is None else live
    return ControlPlane(
        store=MemoryStore(),
        signatures=Signatures({}, region="us-east-1", verify="off", clock=lambda: NOW),
        put=lambda config: live.__setitem__(config.api_id, config),
        remove=lambda api_id: live.pop(api_id, None),
        template=TEMPLATE,
        clock=lambda: NOW,
    )


async def ask(plane, method, path, query="", body=b""):
    answer = await plane.answer(
        ControlRequest(
            method=method, raw_path=path, raw_query=query, headers={"host": "h"}, body=body
        )
    )
    document = json.loads(answer.body)
    assert answer.status == 200 or 400 <= answer.status < 500, answer
    assert (answer.status == 200) == ("x-amzn-ErrorType" not in answer.headers)
    return answer.status, document


def values(shape):
    """Values of a shape, nearly: most are valid, some are out of bounds or of another kind."""
    match shape:
        case Text(choices=choices) if choices:
            valid = st.sampled_from(choices)
        case Text(pattern=None):
            valid = ANY_TEXT
        case Text():
            valid = st.from_regex(shape.pattern, fullmatch=True).map(lambda text: text[:80])
        case Whole():
            valid = st.integers() | st.just(int(NOW) + 86_400 * 30)
        case Flag():
            valid = st.booleans()
        case Listing():
            valid = st.lists(values(shape.member), max_size=3)
        case Table():
            names = ANY_TEXT | st.from_regex(shape.key.pattern or "", fullmatch=True)
            valid = st.dictionaries(names, values(shape.value), max_size=3)
        case Structure():
            valid = st.fixed_dictionaries(
                {name: values(shape.members[name]) for name in shape.required},
                optional={
                    name: values(member)
                    for name, member in shape.members.items()
                    if name not in shape.required
                },
            )
    return st.integers(0, 19).flatmap(lambda n: ANY_JSON if n == 0 else valid)


BODIES = st.one_of(
    st.binary(max_size=40),
    ANY_JSON.map(lambda value: json.dumps(value).encode()),
)


@given(
    st.sampled_from(["GET", "POST", "DELETE", "PUT", "", "get"]),
    st.one_of(ANY_TEXT, st.sampled_from(["/".join(("", *one.path)) for one in OPERATIONS])),
    ANY_TEXT,
    BODIES,
)
def test_any_request_is_answered(method, path, query, body):
    asyncio.run(ask(make_plane(), method, path, query, body))


@given(st.data())
@settings(deadline=None)
def test_any_operation_is_answered_whatever_its_members_are(data):
    operation = data.draw(st.sampled_from(OPERATIONS))
    members = data.draw(values(INPUTS[operation.name]))
    given_members = members if isinstance(members, dict) else {}
    path = "".join(
        "/" + quote(str(given_members.get(part.strip("{+}"), part)), safe="", errors="replace")
        for part in operation.path
    )
    query = "&".join(
        f"{name}={quote(str(given_members.get(name)), errors='replace')}"
        for name in operation.query
    )
    body = json.dumps(members).encode()
    asyncio.run(ask(make_plane(), operation.method, path, query, body))


NAMES = st.sampled_from(["a", "b", "A", "-", "a" * 51])
MODES = st.lists(
    st.sampled_from([{"authType": "API_KEY"}, {"authType": "AWS_IAM"}]), min_size=1, max_size=2
)


class Model(RuleBasedStateMachine):
    """A simple memory of what should exist, beside the real thing."""

    apis = Bundle("apis")

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.live = {}
        self.plane = make_plane(self.live)
        self.expected: dict[str, dict[str, set[str]]] = {}

    def teardown(self):
        self.loop.close()

    def do(self, method, path, body=None, query=""):
        content = b"" if body is None else json.dumps(body).encode()
        return self.loop.run_until_complete(ask(self.plane, method, path, query, content))

    @rule(target=apis, modes=MODES)
    def create_api(self, modes):
        config = {
            "authProviders": [*{mode["authType"]: mode for mode in modes}.values()],
            "connectionAuthModes": modes,
            "defaultPublishAuthModes": modes,
            "defaultSubscribeAuthModes": modes,
        }
        status, answer = self.do("POST", "/v2/apis", {"name": "x", "eventConfig": config})
        assert status == (402 if len(self.expected) >= 50 else 200)
        api_id = answer["api"]["apiId"]
        self.expected[api_id] = {"namespaces": set(), "keys": set()}
        return api_id

    @rule(api=consumes(apis))
    def delete_api(self, api):
        assert self.do("DELETE", f"/v2/apis/{api}")[0] == 200
        del self.expected[api]
        assert self.do("GET", f"/v2/apis/{api}")[0] == 404

    @rule(api=apis, name=NAMES)
    def create_namespace(self, api, name):
        path = f"/v2/apis/{api}/channelNamespaces"
        status, _ = self.do("POST", path, {"name": name})
        known = self.expected[api]["namespaces"]
        if name in ("-", "a" * 51):
            assert status == 400
        elif name in known:
            assert status == 409
        else:
            assert status == 200
            known.add(name)

    @rule(api=apis, name=NAMES)
    def delete_namespace(self, api, name):
        status, _ = self.do("DELETE", f"/v2/apis/{api}/channelNamespaces/{name}")
        known = self.expected[api]["namespaces"]
        if name in known:
            assert status == 200
            known.remove(name)
        else:
            assert status in (400, 404)

    @rule(api=apis)
    def create_key(self, api):
        status, answer = self.do("POST", f"/v1/apis/{api}/apikeys", {})
        if len(self.expected[api]["keys"]) >= 50:
            assert status == 400
        else:
            assert status == 200
            self.expected[api]["keys"].add(answer["apiKey"]["id"])

    @rule(api=apis)
    def delete_key(self, api):
        keys = self.expected[api]["keys"]
        if keys:
            key = min(keys)
            keys.remove(key)
            assert self.do("DELETE", f"/v1/apis/{api}/apikeys/{key}")[0] == 200

    @invariant()
    def the_data_plane_has_what_was_answered(self):
        assert set(self.live) == set(self.expected)
        for api_id, expected in self.expected.items():
            config = self.live[api_id]
            assert {one.name for one in config.namespaces} == expected["namespaces"]
            assert {one.id for one in config.api_keys} == expected["keys"]

    @invariant()
    def listings_walk_over_everything_once(self):
        found, token = [], ""
        while True:
            query = "maxResults=2" + (f"&nextToken={quote(token, safe='')}" if token else "")
            _, answer = self.do("GET", "/v2/apis", query=query)
            found += [api["apiId"] for api in answer["apis"]]
            token = answer.get("nextToken")
            if token is None:
                break
        assert found == list(self.expected)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
