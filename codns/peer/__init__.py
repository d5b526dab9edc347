"""Codec: messages between peers as sealed datagrams. Untrusted bytes raise only `PeerError`."""
