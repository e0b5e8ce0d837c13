"""A function in a network that fails on purpose, from one's own tests.

::

    test ──use("no-nat")──▶ FunctionLab ──▶ a loop in a thread of its own ──▶ relay, VPC, worker
         ──invoke({…})────▶             ◀── Call: answer, who gave it, how long, verdict

:mod:`natless.pytest_plugin` makes it a fixture of pytest.
"""

from natless.testing.call import Call
from natless.testing.function_lab import FunctionLab, open_lab

__all__ = ["Call", "FunctionLab", "open_lab"]
