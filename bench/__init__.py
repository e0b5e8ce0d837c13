"""What the relay is measured against, and how: ``python -m bench --help``.

::

    shapes.py         the loads: subscribers, events in flight, size, transport; and the targets
    subjects.py       the servers: the relay, a C reference, a naive relay; on a core of their own
    generators.py     who makes the load: one written in C, or a slower one of our own
    tally.py          results in a file, so that a run can go on; medians of ratios as a table
    naive_relay.py    what one writes first with aiohttp: json.dumps for every subscriber
"""
