import json
from dataclasses import asdict

import pytest

from natless.vpc.model import DnsMode
from natless.vpc.zone import Record, Zone, decode_zone


@pytest.mark.parametrize(
    ("pattern", "name", "covers"),
    [
        ("a.b", "a.b", True),
        ("a.b", "x.a.b", False),
        ("*.a.b", "x.a.b", True),
        ("*.a.b", "y.x.a.b", False),
        ("*.a.b", "a.b", False),
        ("*.a.b", ".a.b", False),
    ],
)
def test_a_pattern_covers_one_more_label(pattern, name, covers):
    assert Record(pattern).covers(name) is covers


def test_a_zone_survives_its_way_to_the_resolver():
    zone = Zone(DnsMode.SERVFAIL, (Record("*.a.b", ("192.0.2.1",), ("2001:db8::1",)), Record("c")))
    assert decode_zone(json.loads(json.dumps(asdict(zone)))) == zone


def test_the_first_record_that_covers_a_name_counts():
    zone = Zone(records=(Record("*.a", ("192.0.2.1",)), Record("x.a", ("192.0.2.2",))))
    assert zone.find("X.A.") is zone.records[0]
    assert zone.find("y") is None
