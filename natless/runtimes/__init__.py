"""Lambda's runtimes on this machine: which one a handler needs, and how its process is started."""

from natless.runtimes.base import Code, Family, Runtime
from natless.runtimes.catalogue import choose_runtime, find_code

__all__ = ["Code", "Family", "Runtime", "choose_runtime", "find_code"]
