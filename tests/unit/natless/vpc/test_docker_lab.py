import os

from natless.vpc.docker_lab import describe_function, describe_places, fingerprint
from natless.vpc.model import Role

NETWORKS = {
    Role.FUNCTION: "net-f",
    Role.RESOLVER: "net-r",
    Role.ENDPOINT: "net-e",
    Role.PROXY: "net-p",
    Role.INTERNET: "net-i",
}
MOUNTS = {"/run/lab": "/run/lab"}


def describe():
    return {each.name: each for each in describe_places(NETWORKS, mounts=MOUNTS, environment={})}


def test_the_owner_of_the_functions_network_comes_first():
    places = describe_places(NETWORKS, mounts=MOUNTS, environment={})
    assert places[0].name == "function-net"
    assert places[0].mounts["/etc/resolv.conf"] == "/run/lab/resolv.conf"


def test_everybody_has_the_address_of_the_model():
    places = describe()
    assert places["function-net"].addresses == {"net-f": "10.0.1.10"}
    assert places["resolver"].addresses == {"net-r": "10.0.0.2"}
    assert places["endpoint"].addresses == {"net-e": "10.0.9.10"}
    assert places["proxy"].addresses == {"net-p": "10.0.8.10"}
    assert places["internet-net"].addresses == {"net-i": "198.51.100.10"}
    assert places["router"].addresses["net-i"] == "198.51.100.2"
    assert set(places["router"].addresses) == set(NETWORKS.values())


def test_only_those_who_change_networks_have_powers():
    powerful = {name for name, place in describe().items() if place.capabilities}
    assert powerful == {"router", "function-net", "internet-net"}
    assert powerful == {name for name, place in describe().items() if place.writable}
    function = describe_function("owner", mounts=MOUNTS, environment={})
    assert function.capabilities == ()
    assert function.lives_in == "owner"
    assert function.user == (f"{os.getuid()}:{os.getgid()}" if os.getuid() else "sandbox")


def test_the_fingerprint_changes_with_the_sources_and_with_nothing_else(tmp_path):
    for folder in ("event_protocol", "natless/vpc", "docker"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("docker/Dockerfile", "docker/requirements.lock", "natless/vpc/model.py"):
        (tmp_path / name).write_text(name)
    first = fingerprint(tmp_path)
    (tmp_path / "natless" / "notes.txt").write_text("not code")
    assert fingerprint(tmp_path) == first
    (tmp_path / "natless" / "vpc" / "model.py").write_text("changed")
    assert fingerprint(tmp_path) != first
