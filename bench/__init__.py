"""What the relay is measured against, and how: ``python -m bench --help``.

::

    shapes.py         the loads: subscribers, events in flight, size, transport; and the targets
    subjects.py       the servers: the relay, a C reference, MiniStack, a naive relay
    generators.py     who makes the load: one written in C (c/loadgen.c), or a slower one of our own
    endurance.py      start, a reader that stalls, connections that come and go: the relay alone
    disturbance.py    how much others used of the machine meanwhile
    ministack.py      another emulator, in an environment of its own, its versions pinned
    tally.py          results in a file, so that a run can go on; medians of ratios
    page.py plot.py   docs/performance.md, its plot and the README's sentence, from measured.jsonl
    naive_relay.py    what one writes first with aiohttp: json.dumps for every subscriber
"""
