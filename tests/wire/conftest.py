"""Hypothesis without chance and without a stopwatch: a run gives what the last one gave."""

from hypothesis import settings

settings.register_profile("codns", derandomize=True, deadline=None, max_examples=200)
settings.load_profile("codns")
