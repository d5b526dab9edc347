"""Shell: one trio event loop around `core.Node`. Applies effects; decides nothing."""
