"""What of a job is still to be sent: its first event and its newest, whatever came between. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Draft:
    """An event as JSON, but for its attempt, which is not known before the log was read."""

    status: Literal["processing", "completed", "error"]
    timestamp: str
    json: bytes
    progress: float = 0.0
    reached: float = 0.0
    """Where the job was, which of a completed one is below 100."""

    @property
    def is_end(self) -> bool:
        return self.status != "processing"

    def body(self, attempt: int) -> bytes:
        """The whole event."""
        return b'{"attempt":%d,%s' % (attempt, self.json[1:])


class Mailbox:
    """Never holds more than two. What is put over an unsent event replaces it, but never the first."""

    def __init__(self) -> None:
        self._drafts: list[Draft] = []
        self._first_is_out = False

    @property
    def is_empty(self) -> bool:
        return not self._drafts

    def put(self, draft: Draft) -> None:
        """The caller puts nothing behind the end."""
        kept = 0 if self._first_is_out else 1
        self._drafts = [*self._drafts[:kept], draft]

    def take(self) -> Draft | None:
        """The one to send now."""
        if not self._drafts:
            return None
        self._first_is_out = True
        return self._drafts.pop(0)
