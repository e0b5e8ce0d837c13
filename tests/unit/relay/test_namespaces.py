import pytest

from event_protocol.channels import ChannelPattern
from relay.auth.base import AuthMode
from relay.config import ApiConfig, NamespaceConfig
from relay.hub import Outlet
from relay.namespaces import PASSES_COUNT, ROUTES_COUNT, Api, ChannelTable, Registry, Subscription

LABEL, OTHER = "a" * 26, "b" * 26


def outlet():
    return Outlet(write=lambda data: None, unsent=lambda: 0, cut=lambda: None)


def subscription(channel, *, id="s", on=None):  # noqa: A002
    return Subscription(id, ChannelPattern.parse(channel), outlet=on or outlet())


def members(table, path):
    route = table.route(path)
    direct = {target[0] for _, group in route.direct for target in group}
    return direct | {one for _, prefixes in route.mixed for one in prefixes}


def prefix(id):  # noqa: A002
    return f'{{"id":"{id}","type":"data","event":'.encode()


@pytest.mark.parametrize(
    ("path", "ids"),
    [
        ("/a", {"exact-a"}),
        ("/a/b", {"exact-ab", "below-a"}),
        ("/a/b/c", {"below-a", "below-ab"}),
        ("/a/b/c/d/e", {"below-a", "below-ab"}),
        ("/a/bb/c", {"below-a"}),
        ("/ab", set()),
        ("/A/b", set()),
    ],
)
def test_a_wildcard_matches_every_depth_below_its_prefix_but_not_the_prefix(path, ids):
    table = ChannelTable()
    for channel, name in (
        ("/a", "exact-a"),
        ("a/b/", "exact-ab"),
        ("/a/*", "below-a"),
        ("/a/b/*", "below-ab"),
    ):
        table.add(subscription(channel, id=name))
    assert members(table, path) == {prefix(name) for name in ids}


def test_a_route_is_resolved_once_until_something_changes():
    table = ChannelTable()
    first = subscription("/a/b", id="1")
    table.add(first)
    route = table.route("/a/b")
    assert table.route("/a/b") is route
    table.add(subscription("/a/b", id="2"))
    assert members(table, "/a/b") == {prefix("1"), prefix("2")}
    table.remove(first)
    assert members(table, "/a/b") == {prefix("2")}


@pytest.mark.parametrize("wildcard", ["/a/*", "/a/b/*"])
def test_a_wildcard_that_comes_or_goes_changes_routes_below_it(wildcard):
    table = ChannelTable()
    assert table.route("/a/b/c").count == 0
    one = subscription(wildcard)
    table.add(one)
    assert table.route("/a/b/c").count == 1
    table.remove(one)
    assert table.route("/a/b/c").count == 0


def test_a_connection_with_one_exact_subscription_is_written_directly():
    table = ChannelTable()
    one, two = subscription("/a/b", id="1"), subscription("/a/b", id="2")
    table.add(one)
    table.add(two)
    route = table.route("/a/b")
    assert route.mixed == ()
    assert [len(group) for _, group in route.direct] == [2]


def test_a_second_subscription_makes_the_first_one_wait_for_its_order_and_back():
    table, shared = ChannelTable(), outlet()
    first, second = subscription("/a/b", on=shared), subscription("/c", id="2", on=shared)
    table.add(first)
    assert table.route("/a/b").direct
    table.add(second)
    assert table.route("/a/b").mixed == ((shared, (first.prefix,)),)
    table.remove(second)
    assert table.route("/a/b").direct


def test_nothing_is_left_of_removed_subscriptions():
    table, shared = ChannelTable(), outlet()
    all_of_them = [
        subscription("/a", on=shared),
        subscription("/a/*", id="2", on=shared),
        subscription("/a", id="3"),
    ]
    for one in all_of_them:
        table.add(one)
    assert len(table) == 3
    for one in all_of_them:
        table.remove(one)
    assert len(table) == 0
    assert (table._exact, table._below, table._of) == ({}, {}, {})


def test_publishing_on_endless_channels_does_not_grow_the_memory():
    table = ChannelTable()
    for number in range(ROUTES_COUNT + 10):
        table.route(f"/a/{number}")
    assert len(table._routes) <= ROUTES_COUNT


def api(**more):
    return Api(
        ApiConfig(label=LABEL, namespaces=(NamespaceConfig(name="default"),), **more),
        authorizers=lambda config: (),
    )


def test_a_namespace_takes_the_modes_of_its_api_unless_it_has_its_own():
    one = Api(
        ApiConfig(
            label=LABEL,
            publish_modes=frozenset({AuthMode.AWS_IAM}),
            subscribe_modes=frozenset({AuthMode.API_KEY}),
            namespaces=(
                NamespaceConfig(name="plain"),
                NamespaceConfig(name="own", publish_modes=frozenset({AuthMode.LAMBDA})),
            ),
        ),
        authorizers=lambda config: (),
    )
    assert one.namespace("plain").publish_modes == {AuthMode.AWS_IAM}
    assert one.namespace("plain").subscribe_modes == {AuthMode.API_KEY}
    assert one.namespace("own").publish_modes == {AuthMode.LAMBDA}
    assert one.namespace("own").subscribe_modes == {AuthMode.API_KEY}
    assert one.namespace("Plain") is None


def test_a_publisher_is_remembered_until_its_key_expires():
    one = api()
    one.remember("default/x/", b"credentials", path="/default/x", until=50.0)
    assert one.recall("default/x/", b"credentials", wall=49.9) == "/default/x"
    assert one.recall("default/x/", b"credentials", wall=50.0) is None
    assert one.recall("default/y", b"credentials", wall=1.0) is None
    assert one.recall("default/x/", b"others", wall=1.0) is None


@pytest.mark.parametrize("nothing", ["", b""])
def test_whoever_presents_nothing_is_never_remembered(nothing):
    one = api()
    one.remember("default/x", nothing, path="/default/x", until=50.0)
    assert one.recall("default/x", nothing, wall=1.0) is None


def test_a_decision_that_must_be_asked_every_time_is_not_remembered():
    one = api()
    one.remember("default/x", b"signature", path="/default/x", until=0.0)
    assert one.recall("default/x", b"signature", wall=-1.0) is None


def test_another_configuration_forgets_who_was_remembered():
    one = api()
    one.remember("default/x", b"credentials", path="/default/x", until=50.0)
    one.apply(one.config)
    assert one.recall("default/x", b"credentials", wall=1.0) is None


def test_many_publishers_do_not_grow_the_memory():
    one = api()
    for number in range(PASSES_COUNT + 10):
        one.remember(f"default/{number}", b"k", path="/default/x", until=50.0)
    one.remember("default/x", b"k" * 5000, path="/default/x", until=50.0)
    assert len(one._passes) <= PASSES_COUNT
    assert one.recall("default/x", b"k" * 5000, wall=1.0) is None


def registry():
    return Registry(
        (
            ApiConfig(label=LABEL, domains=("Events.Example.com",)),
            ApiConfig(label=OTHER, region="eu-west-1"),
        ),
        authorizers=lambda config: (),
    )


@pytest.mark.parametrize(
    ("host", "label"),
    [
        (f"{LABEL}.appsync-api.us-east-1.amazonaws.com", LABEL),
        (f"{OTHER}.appsync-api.eu-west-1.amazonaws.com", OTHER),
        (f"{OTHER}.appsync-realtime-api.eu-west-1.amazonaws.com", OTHER),
        (f"{OTHER.upper()}.appsync-api.eu-west-1.amazonaws.com:443", OTHER),
        (f"{OTHER}.localhost:8443", OTHER),
        ("events.example.com", LABEL),
        ("localhost:8443", LABEL),
        ("127.0.0.1:8443", LABEL),
        ("[::1]:8443", LABEL),
        ("", LABEL),
    ],
)
def test_a_host_leads_to_its_api_and_an_unknown_one_to_the_first(host, label):
    one = registry()
    assert one.find(host).config.label == label
    assert one.find(host).config.label == label


def test_apis_come_change_and_go():
    one = registry()
    first, second = one
    changed = one.put(ApiConfig(label=OTHER, name="renamed", region="eu-west-1"))
    assert changed is second
    assert one.get(second.config.api_id).config.name == "renamed"
    assert one.get(OTHER) is second
    assert one.remove(first.config.api_id) is first
    assert one.find("localhost") is second
    assert one.find(f"{LABEL}.localhost") is second
    one.remove(second.config.api_id)
    assert one.find("localhost") is None
    assert one.get(OTHER) is None
    assert one.remove("unknown") is None


def test_many_host_names_do_not_grow_the_memory():
    one = registry()
    for number in range(5000):
        one.find(f"{number}.example.com")
    assert len(one._found) <= 1024
