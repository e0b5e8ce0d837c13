import os
from dataclasses import replace

import pytest

from natless.vpc.docker_owner import Owner


def test_an_owner_survives_its_label():
    assert Owner.parse(str(Owner.here())) == Owner.here()


@pytest.mark.parametrize("text", ["", "a/b/c", "a/b/c/d", "a/b/1/2/3"])
def test_what_is_no_label_of_ours_is_nobody(text):
    assert Owner.parse(text) is None


def test_this_process_lives():
    assert Owner.here().pid == os.getpid()
    assert not Owner.here().is_dead()


def test_a_process_of_an_earlier_boot_is_dead():
    assert replace(Owner.here(), boot="another").is_dead()


def test_a_process_whose_number_was_given_away_again_is_dead():
    assert replace(Owner.here(), started=1).is_dead()


def test_a_process_in_another_namespace_may_live():
    assert not replace(Owner.here(), namespace="pid:[1]", started=1).is_dead()
