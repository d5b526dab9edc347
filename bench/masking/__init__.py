"""How well a failing nameserver is masked: codns beside what a user would pick instead.

`python -m bench.masking` (see `__main__`). Four nodes, each with its own emulated nameserver, of
which node 1's fails in three ways; the same load for everybody, from a client that behaves like
glibc's. What is where: `faults` how it fails, `load` who asks for what and when, `emulator` the
nameservers, `client` the stub resolvers, `systems` the programs and their configurations, `fleet`
one run of a system, `figures` and `worst` what follows from it, `report` and `plot` how it looks.
"""
