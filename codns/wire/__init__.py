"""Codec: DNS messages as bytes, for the hot path. Untrusted bytes raise only `WireError`."""
