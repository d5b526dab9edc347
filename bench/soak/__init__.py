"""An hour of everything at once: does anything grow? `python -m bench.soak` (see `__main__`).

What is where: `plan` what is asked and what fails when, `nameservers` the emulated ones, `fleet`
the daemons, `client` those who ask, `chores` what operators do and what breaks, `http` how both
speak to a daemon, `sampler` what is noted every few seconds, `judge` what counts as growth, `plot`
how it looks.
"""
