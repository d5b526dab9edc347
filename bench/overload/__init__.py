"""codns with more work than it can do: three times its capacity, and 10,000 TCP connections.

`python -m bench.overload` (see `__main__`). What is where: `quota` the quarter of a core codns
gets, `traffic` the open-loop client (a process of its own), `figures` what follows from what it
saw, `flood` the phases over UDP, `crowd` the TCP connections, `report` how it looks.
"""
