"""Jobs that slaves are carrying out, by number, and whom to tell when one is done."""

from typing import Final, Protocol

from codns.wire.batch import Result

JOB_LOST_S: Final = 20.0  # twice a lookup's life: every slave has reported or was replaced by then


class Owner(Protocol):
    """Whoever wants to know how a job ended."""

    @property
    def sent(self) -> float:
        """When it was given out."""

    def done(self, result: Result, now: float) -> None:
        """The job ended."""


class Jobs:
    """The table; its size is bounded by what may start a job (lookups, probes, loop checks)."""

    __slots__ = ("_last", "_owners")

    def __init__(self) -> None:
        self._owners: dict[int, Owner] = {}
        self._last = 0

    def new(self, owner: Owner) -> int:
        """Return the number of a new job."""
        self._last = job = (self._last + 1) & 0xFFFFFFFF
        self._owners[job] = owner
        return job

    def take(self, job: int) -> Owner | None:
        """Return the owner of a job that has ended; one nobody knows (any more) is nobody's."""
        return self._owners.pop(job, None)

    def sweep(self, now: float) -> int:
        """Forget jobs no slave will report any more; returns how many there were."""
        lost = [job for job, owner in self._owners.items() if now - owner.sent > JOB_LOST_S]
        for job in lost:
            del self._owners[job]
        return len(lost)

    def __len__(self) -> int:
        return len(self._owners)
