"""codns: a cooperative DNS forwarding proxy."""

__version__ = "0.1.0"
