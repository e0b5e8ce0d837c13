"""What runs inside the lab's containers: one command per part, all from one image.

::

    python -P -m natless.container control      the only one that decides; everybody else is told
    python -P -m natless.container router       … function-net, internet-net, function,
                                                resolver, endpoint: agents in their place
    python -P -m natless.container relay        the AppSync Events channel
    python -P -m natless.container worker       the developer's code

The containers share one folder in memory. Unix sockets with a path cross network namespaces, and
open sockets travel over them: so the control part makes the function's Runtime API listen on the
loopback of the function's own network, serves it from outside, and no call of the control path
ever crosses the network that is being looked at.
"""
