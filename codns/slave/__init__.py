"""Shell: the worker processes that exchange messages with nameservers."""
