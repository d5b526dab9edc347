"""A fleet in virtual time: discrete events that drive the same `core.Node` as the daemon."""
