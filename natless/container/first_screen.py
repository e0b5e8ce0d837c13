"""What somebody sees first: where they are, and the three things to do next."""

from __future__ import annotations

from natless.vpc.model import Topology


def render_first_screen(topology: Topology, *, function: str, port: str) -> str:
    """The words, with commands that can be copied as they are."""
    base = f"http://localhost:{port}"
    change = ("take its NAT away", "no-nat")
    if not topology.promise.is_working:
        change = ("give it a way out", "nat")
    next_steps = (
        ("call the function", f"curl -d '{{}}' {base}/invoke"),
        (change[0], f"curl -X PUT {base}/topology/{change[1]}"),
        ("open the report", f"{base}/report"),
        ("", ""),
        ("every network", f"curl {base}/topology"),
        ("what is wrong", f"curl {base}/verdict"),
        ("leave nothing", "docker compose down"),
    )
    lines = [f"  {what:<18}  {how}".rstrip() for what, how in next_steps]
    title = f"natless is up: {function!r} on the network {topology.name!r} ({topology.title})"
    return "\n".join(["", title, "", *lines, ""])
