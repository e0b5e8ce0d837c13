"""What is changed together, in which order, and who has to start anew."""

from types import SimpleNamespace

import pytest

from natless.dev_network import DevNetwork
from natless.errors import ComponentFailed, UsageError
from natless.journal import Journal
from natless.vpc.judgement import ProbeResult
from natless.vpc.topologies import find


class FakeVpc:
    def __init__(self, *, breaks=False):
        self.applied = []
        self.breaks = breaks

    async def apply(self, topology):
        if self.breaks:
            raise ComponentFailed("the lab has ended")
        self.applied.append(topology.name)

    async def probe(self, topology):
        return (ProbeResult("reach", topology.name == "no-nat", "as it is"),)


class FakeHost:
    spec = SimpleNamespace(name="orders")

    def __init__(self):
        self.renewed = 0

    def renew(self):
        self.renewed += 1


@pytest.fixture
def facts():
    return []


@pytest.fixture
def network(facts):
    journal = Journal()
    journal.listen(facts.append)
    return DevNetwork(topology=find("nat"), journal=journal)


@pytest.mark.parametrize(("keep", "renewed"), [(False, 1), (True, 0)])
async def test_every_vpc_changes_and_functions_start_anew_unless_they_are_kept(
    network, facts, keep, renewed
):
    vpcs, host = [FakeVpc(), FakeVpc()], FakeHost()
    for vpc in vpcs:
        network.add_vpc(vpc)
    network.add_host(host)
    assert await network.change(find("no-nat"), keep=keep) >= 0
    assert [vpc.applied for vpc in vpcs] == [["no-nat"], ["no-nat"]]
    assert (network.current.name, host.renewed) == ("no-nat", renewed)
    (fact,) = facts
    assert (fact.kind, fact.data["functions"]) == ("dev.network.changed", ["orders"])
    assert [each.kept for each in await network.verify()] == [True, True]


async def test_a_network_that_did_not_take_it_is_not_called_changed(network, facts):
    host = FakeHost()
    network.add_vpc(FakeVpc(breaks=True))
    network.add_host(host)
    with pytest.raises(ComponentFailed):
        await network.change(find("no-nat"))
    assert (network.current.name, host.renewed, facts) == ("nat", 0, [])


async def test_functions_in_no_network_of_ours_are_told_how_to_be_in_one():
    network = DevNetwork(topology=None, journal=Journal())
    with pytest.raises(UsageError) as raised:
        await network.change(find("no-nat"))
    assert "--topology nat" in raised.value.hint
