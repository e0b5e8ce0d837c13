"""Which environments keep a process in reserve when there are more of them than reserves."""

from natless.worker.reserve import DISPLACED, Reserves


class Slot:
    def __init__(self):
        self.dropped = 0

    def drop(self):
        self.dropped += 1


def test_the_ones_used_last_have_one():
    reserves, slots = Reserves(2), [Slot() for _ in range(3)]
    assert all(reserves.admit(slot, now=0.0) for slot in slots)
    assert [slot.dropped for slot in slots] == [1, 0, 0]


def test_environments_in_turns_do_not_take_each_others_all_the_time():
    reserves, slots = Reserves(2), [Slot() for _ in range(20)]
    for second in range(int(DISPLACED)):
        for slot in slots:
            reserves.admit(slot, now=float(second))
    assert sum(slot.dropped for slot in slots) == 18, "each once"
    assert reserves.admit(slots[0], now=DISPLACED)
    assert sum(slot.dropped for slot in slots) == 19


def test_one_that_left_may_come_back_at_once():
    reserves, first, second = Reserves(1), Slot(), Slot()
    reserves.admit(first, now=0.0)
    reserves.admit(second, now=0.0)
    assert not reserves.admit(first, now=1.0)
    reserves.leave(first)
    assert reserves.admit(first, now=1.0)


def test_none_are_kept_where_none_are_wanted():
    assert not Reserves(0).admit(Slot(), now=0.0)
