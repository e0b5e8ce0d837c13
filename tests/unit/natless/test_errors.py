"""Errors of work that goes on side by side."""

import pytest

from natless.errors import ComponentFailed, raising_first


def test_of_several_errors_the_first_of_ours_is_raised():
    first, nested = ComponentFailed("first"), ExceptionGroup("inner", [ComponentFailed("second")])
    with pytest.raises(ComponentFailed, match="first"), raising_first():
        raise ExceptionGroup("outer", [OSError(), first, nested])
    with pytest.raises(ComponentFailed, match="second"), raising_first():
        raise ExceptionGroup("outer", [nested, first])


def test_a_group_without_an_error_of_ours_stays_as_it_is():
    with pytest.raises(ExceptionGroup), raising_first():
        raise ExceptionGroup("outer", [OSError()])
    with pytest.raises(OSError, match="alone"), raising_first():
        raise OSError("alone")
