"""Benchmarks against other forwarders, and the real servers that the tests start too."""
