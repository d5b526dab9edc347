"""Packaging: what is built of codns, and the units it runs under."""
