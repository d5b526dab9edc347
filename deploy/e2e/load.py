"""Queries at a steady rate, on a node, with nothing but its Python: load.py RATE SECONDS [FRESH].

One query in FRESH has a name that nobody asked before (1: all of them), the others are of 50 names
that are soon in the cache. A query has 5 s, as a stub gives it, and is sent once: what is lost is
lost. Prints one JSON object.
"""

import json
import select
import socket
import sys
import time

WAIT_S = 5.0


def query(number: int, name: str) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return number.to_bytes(2, "big") + b"\1\0\0\1\0\0\0\0\0\0" + labels + b"\0\0\1\0\1"


def main(rate: float, seconds: float, fresh: int) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", 53))
    sock.setblocking(False)
    sent = failed = 0
    waiting: dict[int, float] = {}
    took: list[float] = []
    start = time.monotonic()
    total = int(rate * seconds)
    while sent < total or waiting:
        now = time.monotonic()
        while sent < total and now >= start + sent / rate:
            name = f"f{sent}-{int(start * 1000)}" if sent % fresh == 0 else f"c{sent % 50}"
            sock.send(query(sent & 0xFFFF, f"{name}.e2e.example"))
            waiting[sent & 0xFFFF] = now
            sent += 1
        if sent == total and now - max(waiting.values(), default=now) > WAIT_S:
            break
        select.select([sock], [], [], 0.002)
        while True:
            try:
                answer = sock.recv(4096)
            except BlockingIOError:
                break
            since = waiting.pop(int.from_bytes(answer[:2], "big"), None)
            if since is not None:
                took.append(time.monotonic() - since)
                failed += answer[3] & 15 != 0
    took.sort()
    late = sum(1 for seconds_ in took if seconds_ > WAIT_S)
    print(
        json.dumps(
            {
                "sent": sent,
                "lost": len(waiting) + late,
                "failed": failed,
                "p50_ms": round(took[len(took) // 2] * 1000, 1) if took else None,
                "p99_ms": round(took[len(took) * 99 // 100] * 1000, 1) if took else None,
                "slowest_ms": round(took[-1] * 1000, 1) if took else None,
            }
        )
    )


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 5)
