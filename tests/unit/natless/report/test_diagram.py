from dataclasses import replace

import pytest

from natless.explain import Hop, NetworkFacts, Verdict
from natless.report import TopologyRun
from natless.report.diagram import (
    Diagram,
    Look,
    Side,
    describe_diagram,
    draw_diagrams,
)
from tests.unit.natless.report.sample import make_document

NO_VPC, NAT, NO_NAT, ENDPOINT = make_document().topologies


def looks(diagram: Diagram) -> dict[Side, Look]:
    return {node.side: node.look for node in diagram.nodes}


def ended_at(hop: Hop, network: NetworkFacts | None = None) -> TopologyRun:
    verdict = Verdict("x", "x", hop=hop, works=hop is Hop.NONE)
    return replace(NAT, verdict=verdict, network=network or NAT.network)


def test_where_all_is_well_every_node_on_the_way_is_live():
    for diagram in draw_diagrams(NAT):
        assert set(looks(diagram).values()) == {Look.LIVE}
        assert all(edge.look is Look.LIVE and edge.cross is None for edge in diagram.edges)


def test_without_a_vpc_there_is_neither_a_frame_nor_a_route_table():
    wide, upright = draw_diagrams(NO_VPC)
    for diagram in (wide, upright):
        assert diagram.frame is None
        assert Side.WAY_OUT not in looks(diagram)


def test_without_a_nat_packets_die_at_the_route_table_and_the_developer_waits():
    for diagram in draw_diagrams(NO_NAT):
        assert looks(diagram)[Side.WAY_OUT] is Look.DEAD
        assert looks(diagram)[Side.RESOLVER] is Look.LIVE
        assert looks(diagram)[Side.CHANNEL] is looks(diagram)[Side.MACHINE] is Look.WAITING
        (dead,) = [edge for edge in diagram.edges if edge.look is Look.DEAD]
        assert dead.cross is not None
        assert dead.label == "60 dropped"


def test_an_endpoint_refuses_and_the_way_out_is_not_even_tried():
    for diagram in draw_diagrams(ENDPOINT):
        assert looks(diagram)[Side.ENDPOINT] is Look.DEAD
        assert looks(diagram)[Side.WAY_OUT] is Look.IDLE
        (dead,) = [edge for edge in diagram.edges if edge.look is Look.DEAD]
        assert dead.label == "refused"


@pytest.mark.parametrize(
    ("hop", "dead"),
    [
        (Hop.FUNCTION, Side.FUNCTION),
        (Hop.RESOLVER, Side.RESOLVER),
        (Hop.ROUTER, Side.WAY_OUT),
        (Hop.ENDPOINT, Side.ENDPOINT),
        (Hop.CHANNEL, Side.CHANNEL),
        (Hop.WORKER, Side.MACHINE),
        (Hop.HANDLER, Side.MACHINE),
    ],
)
@pytest.mark.parametrize("network", [NAT.network, NO_VPC.network, NetworkFacts()])
def test_wherever_a_call_ends_that_place_is_dead(hop, dead, network):
    topology = ended_at(hop, network)
    for diagram in draw_diagrams(topology):
        found = looks(diagram)
        if dead in found:  # without a VPC there is no route table
            assert found[dead] is Look.DEAD
        assert list(found.values()).count(Look.DEAD) <= 1
    assert "ends" in describe_diagram(topology)


@pytest.mark.parametrize("hop", list(Hop))
@pytest.mark.parametrize("network", [NAT.network, NO_VPC.network, ENDPOINT.network, NetworkFacts()])
def test_nothing_is_drawn_outside_and_no_boxes_overlap(hop, network):
    for diagram in draw_diagrams(ended_at(hop, network)):
        boxes = [(n.x, n.y, n.x + n.width, n.y + n.height) for n in diagram.nodes]
        if diagram.frame is not None:
            frame = diagram.frame
            assert frame.x >= 0
            assert frame.x + frame.width <= diagram.width
        for left, top, right, bottom in boxes:
            assert left >= 0
            assert right <= diagram.width
            assert diagram.top < top < bottom < diagram.bottom
        for index, (left, top, right, bottom) in enumerate(boxes):
            for other in boxes[index + 1 :]:
                assert (
                    right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
                )
