"""Next steps that several causes share, worded once."""

from __future__ import annotations

NAT = (
    "Add a NAT gateway (or a NAT instance) in a public subnet, and route 0.0.0.0/0 of the "
    "function's subnets to it."
)
LEAVE_VPC = (
    "Or run the function outside the VPC in dev only (SST: `vpc: $dev ? undefined : vpc`): the "
    "handler runs on your machine anyway, and reaches the database through a tunnel or a bastion."
)
PROXY = (
    "Or, if the VPC already has an egress proxy, set HTTPS_PROXY in the function's environment: "
    "SST's bridge sends both of its connections through it, and the proxy resolves the names."
)
NO_PRIVATELINK = (
    "An interface endpoint for AppSync is no way out: Event APIs have no PrivateLink, and its "
    "private DNS makes the endpoint refuse them."
)
IPV6 = (
    "An egress-only internet gateway (IPv6) helps only if the API's names have AAAA records "
    "(`dig AAAA <host>`) and the function has dual stack (Ipv6AllowedForDualStack)."
)
PRIVATE_DNS_OFF = (
    "Switch the endpoint's private DNS off if nothing else in the VPC needs it; the names then "
    "resolve to public addresses again, which also need a way out (NAT)."
)
CUSTOM_DOMAIN = (
    "Or give the Event API a custom domain and connect to that: private DNS covers only the "
    "generated names. The custom domain needs a way out (NAT) too, and the function must be told "
    "its name."
)
BUDGET = "If the other side is only slow, raise the budget `{budget}` (now {seconds})."
FLOW_LOGS = (
    "VPC Flow Logs of the function's network interface mark what a security group or a network "
    "ACL refused with REJECT; VPC Reachability Analyzer names the component."
)
KEEP_DEV_RUNNING = (
    "Start the developer's side (`sst dev`, or natless' worker) and leave it running."
)
