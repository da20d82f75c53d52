"""What of a job is still to be sent: its first event and its newest, whatever came between. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class OutgoingEvent:
    """An event as JSON, but for its attempt, which is not known before the stream was read."""

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


class SendQueue:
    """Never holds more than two. What is put over an unsent event replaces it, but never the first."""

    def __init__(self) -> None:
        self._events: list[OutgoingEvent] = []
        self._first_is_out = False

    @property
    def is_empty(self) -> bool:
        return not self._events

    def put(self, outgoing: OutgoingEvent) -> None:
        """The caller puts nothing behind the end."""
        kept = 0 if self._first_is_out else 1
        self._events = [*self._events[:kept], outgoing]

    def take(self) -> OutgoingEvent | None:
        """The one to send now."""
        if not self._events:
            return None
        self._first_is_out = True
        return self._events.pop(0)
