"""The language of the channel between a guest and a relay.

Standard library only: no I/O, no clock, no randomness. Time comes in as an argument, so the same
code runs in the relay, in the guest, in the worker, in a test and in a fuzzer. Start reading at
``frames.py``, ``states.py`` and ``connection.py``.
"""
