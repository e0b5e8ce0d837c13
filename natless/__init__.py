"""My Lambda is in a VPC and Live mode hangs: why, for how long, and what would help?

The only public import. For tests::

    with natless.open_lab("src/orders", handler="app.handler") as lab:
        lab.use("no-nat")
        assert lab.invoke({"id": 1}).verdict.cause == "no-route-out"

pytest users need no import: the fixture ``natless_lab`` is such a lab.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from natless.testing import Call, FunctionLab, open_lab

__all__ = ["Call", "FunctionLab", "open_lab"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  whatever has that name
    """Imports what is public when it is asked for: the command line must start fast."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from natless import testing

    return getattr(testing, name)
