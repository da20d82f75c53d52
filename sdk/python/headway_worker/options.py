"""Settings of a reporter."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable

from .settings import check_callable, check_flag, check_number, check_prefix, check_source, check_stream
from .state import Timestamp
from .values import Encoder, default_encoder
from .warning import ReporterWarning, log_warning


def system_clock() -> Timestamp:
    return Timestamp(time.time(), time.monotonic())


@dataclass(frozen=True)
class Options:
    """How a reporter works. Times are in seconds."""

    stream: str = "PROGRESS"
    """Only needed to read a job's last event."""
    api_prefix: str = "$JS.API"
    """What the JetStream API begins with, where an account imports it under another name."""
    max_updates_per_second: float = 10
    """For each job. What comes faster is coalesced; the first and the last never."""
    max_in_flight: int = 256
    """Events of all jobs that may be on their way at once."""
    heartbeat_seconds: float = 5
    """Between two heartbeats of a job; 0 sends none."""
    ack_seconds: float = 5
    """How long one try waits for its acknowledgement."""
    start_seconds: float = 2
    """How long the start of a job waits for its first event to be stored."""
    end_seconds: float | None = 300
    """How long the end of a job waits to be stored; None: for as long as it takes. After it ``complete`` and ``fail``
    return False, and the end is still sent when it can be. Where NATS refuses the credentials or the permission, which
    waiting does not fix, the wait is ``close_seconds`` at most."""
    close_seconds: float = 10
    """How long ``close`` waits for what is pending, and a job that is cancelled for its end to be stored."""
    include_stack: bool = False
    """Whether the stack of an exception is published with it."""
    ce_source: str | None = None
    """CloudEvents' ``source``, a URI; with it the headers of each event hold CloudEvents attributes."""
    encoder: Encoder = default_encoder
    """Called for values in results, details and own fields that JSON has no form for; gives another value. It raises
    TypeError for what it does not know. Unless given: dates and times in ISO 8601, UUIDs and Decimals as text, numpy's
    numbers and arrays as numbers and lists."""
    on_warning: Callable[[ReporterWarning], None] = log_warning
    """Called in the event loop; of a bad value in the thread that gave it. What it raises is logged and goes no further."""
    clock: Callable[[], Timestamp] = system_clock

    def __post_init__(self) -> None:
        """:raises InvalidOptionError: for what does not fit"""
        check_stream("stream", self.stream)
        check_prefix("api_prefix", self.api_prefix, "$JS.API")
        check_number("max_updates_per_second", self.max_updates_per_second, 0, above=True)
        check_number("max_in_flight", self.max_in_flight, 1, whole=True)
        check_number("heartbeat_seconds", self.heartbeat_seconds, 0, infinite=False)
        # Without a limit an answer that was lost would be waited for without an end.
        check_number("ack_seconds", self.ack_seconds, 0, above=True, infinite=False)
        check_number("start_seconds", self.start_seconds, 0)
        if self.end_seconds is not None:
            check_number("end_seconds", self.end_seconds, 0)
        check_number("close_seconds", self.close_seconds, 0)
        check_flag("include_stack", self.include_stack)
        check_source("ce_source", self.ce_source)
        for name in ("encoder", "on_warning", "clock"):
            check_callable(name, getattr(self, name))
