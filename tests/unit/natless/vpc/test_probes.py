import asyncio
import json
from pathlib import Path

import pytest

from event_protocol.phases import Outcome, Phase
from natless.errors import ComponentFailed, PromiseBroken
from natless.vpc import probes
from natless.vpc.judgement import ProbeResult
from natless.vpc.model import Api, Role
from natless.vpc.tcp_table import TcpSocket, TcpState
from natless.vpc.topologies import find

CA = Path("/ca.pem")
RELAY, ENDPOINT = "198.51.100.10", "10.0.9.10"


class Program:
    """A probe that has said one line."""

    def __init__(self, line, complaint=b""):
        self.stdout, self.stderr = asyncio.StreamReader(), asyncio.StreamReader()
        self.stdout.feed_data(line)
        self.stderr.feed_data(complaint)
        self.stdout.feed_eof()
        self.stderr.feed_eof()
        self.was_killed = False

    def kill(self):
        self.was_killed = True

    async def wait(self):
        return -9


class FakeVpc:
    """Looks like the topology that was applied last, or like ``looks_like`` whatever is applied."""

    api = Api(label="abcdefghijklmnopqrstuvwxyz", region="us-east-1")

    def __init__(self, *, looks_like=None, line=None):
        self.looks_like = looks_like
        self.line = line
        self.applied = []
        self.argv = []
        self.programs = []
        self.sockets = {role: set() for role in Role}

    @property
    def look(self):
        return self.looks_like or self.applied[-1]

    async def apply(self, topology):
        self.applied.append(topology.name)

    async def run(self, role, argv, *, environment, directory=None):
        assert role is Role.FUNCTION
        self.argv.append(argv)
        self._connect()
        program = Program(self.line if self.line is not None else self._line(), b"it broke\n")
        self.programs.append(program)
        return program

    async def counters(self):
        names = {"no-nat": "no-way-out", "endpoint": "endpoint"}
        return {names.get(self.look, "way-out"): 1}

    async def connections(self, role):
        return frozenset(self.sockets[role])

    async def router_routes(self):
        return ""

    def _connect(self):
        port = 40000 + len(self.argv)
        if self.look == "endpoint":
            socket = TcpSocket(ENDPOINT, 443, "10.0.1.10", port, TcpState.ESTABLISHED)
            self.sockets[Role.ENDPOINT].add(socket)
        elif self.look != "no-nat":
            peer = "198.51.100.3" if self.look == "no-vpc" else "198.51.100.2"
            socket = TcpSocket(RELAY, 443, peer, port, TcpState.ESTABLISHED)
            self.sockets[Role.INTERNET].add(socket)

    def _line(self):
        address = ENDPOINT if self.look == "endpoint" else RELAY
        spans = [self._span(Phase.RESOLVE, host="r", addresses=[address])]
        if self.look == "no-nat":
            spans.append(self._span(Phase.CONNECT, Outcome.TIMEOUT, seconds=1.0))
        else:
            status = 403 if self.look == "endpoint" else 404
            spans.append(self._span(Phase.UPGRADE, address=address, status=status))
        return (
            json.dumps({"spans": spans, "names": {"h": [address]}, "beside": {}}).encode() + b"\n"
        )

    @staticmethod
    def _span(phase, outcome=Outcome.OK, *, seconds=0.001, **detail):
        return {
            "phase": phase,
            "started": 0.0,
            "finished": seconds,
            "outcome": outcome,
            "budget": "b",
            "budget_seconds": 1.0,
            "detail": detail,
        }


@pytest.mark.parametrize("name", ["no-vpc", "nat"])
async def test_what_works_proves_itself(name):
    vpc = FakeVpc()
    results = await probes.prove(vpc, find(name), ca=CA)
    assert vpc.applied == [name]
    assert [result.name for result in results] == [
        "isolation",
        "reach",
        "names",
        "far side",
        "router",
    ]
    probes.check(find(name), results)


@pytest.mark.parametrize("name", ["no-nat", "endpoint"])
async def test_a_failure_is_framed_by_the_same_call_on_nat_and_stays_applied(name):
    vpc = FakeVpc()
    results = await probes.prove(vpc, find(name), ca=CA)
    assert vpc.applied == ["nat", name, "nat", name]
    controls = [result.name for result in results if result.name.startswith("control")]
    assert controls[0] == "control before/reach"
    assert controls[-1] == "control after/router"
    probes.check(find(name), results)


async def test_a_dead_lab_does_not_count_as_silently_dropped():
    results = await probes.prove(FakeVpc(looks_like="no-nat"), find("no-nat"), ca=CA)
    assert all(result.is_ok for result in results if "/" not in result.name)
    with pytest.raises(PromiseBroken, match="control before/reach") as raised:
        probes.check(find("no-nat"), results)
    assert "relay socket" in raised.value.hint


async def test_a_lab_that_lets_everything_through_breaks_the_promise():
    results = await probes.prove(FakeVpc(looks_like="nat"), find("no-nat"), ca=CA)
    with pytest.raises(PromiseBroken, match="'no-nat' does not show what it promises") as raised:
        probes.check(find("no-nat"), results)
    assert "SYN gets no answer" in str(raised.value)
    assert "Nothing was measured" in raised.value.hint


def test_nothing_broken_is_nothing_said():
    probes.check(find("nat"), [ProbeResult("reach", True, "fine")])


async def test_only_the_promised_silence_gets_a_short_budget():
    vpc = FakeVpc()
    await probes.prove(vpc, find("no-nat"), ca=CA)
    before, during, _ = ([*argv] for argv in vpc.argv)
    assert before[before.index("--connect") + 1] == str(probes.PHASE_BUDGET)
    assert during[during.index("--connect") + 1] == str(probes.HANG_BUDGET)
    assert during[during.index("--resolve") + 1] == str(probes.PHASE_BUDGET)
    assert during[during.index("--host") + 1] == vpc.api.realtime_host


async def test_the_probe_is_ended_whatever_it_said():
    vpc = FakeVpc(line=b"{}\n")
    with pytest.raises(KeyError):
        await probes.prove(vpc, find("nat"), ca=CA)
    assert vpc.programs[0].was_killed


async def test_a_probe_that_dies_is_told_with_its_last_words():
    with pytest.raises(ComponentFailed, match="it broke"):
        await probes.prove(FakeVpc(line=b""), find("nat"), ca=CA)


async def test_connections_of_others_are_not_taken_for_the_probes():
    vpc = FakeVpc()
    old = TcpSocket(RELAY, 443, "198.51.100.3", 1, TcpState.ESTABLISHED)
    ended = TcpSocket(RELAY, 443, "198.51.100.3", 2, TcpState.TIME_WAIT)
    vpc.sockets[Role.INTERNET] |= {old, ended}
    probes.check(find("nat"), await probes.prove(vpc, find("nat"), ca=CA))
