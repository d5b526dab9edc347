"""Policy: pure state machines. No I/O, no clock, no global random: `now` and `rng` come in."""
