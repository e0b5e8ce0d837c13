"""The network, imitated: what the function can reach, and how it fails when it cannot.

A :class:`~natless.vpc.model.Topology` is a value. Pure functions turn it into packet filter rules
(:mod:`natless.vpc.rules`) and into what names mean (:mod:`natless.vpc.zone`);
:mod:`natless.vpc.netns` builds it from Linux namespaces, and :mod:`natless.vpc.probes` proves that
what was built fails in the way that was promised.
"""
