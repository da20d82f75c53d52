"""Settings of a reporter, and what it tells its owner."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Callable, Literal

from .errors import NotAuthorizedError, NotPermittedError
from .settings import check_callable, check_flag, check_number, check_prefix, check_source, check_stream
from .state import Timestamp
from .values import Encoder, default_encoder

logger = logging.getLogger("headway_worker")

WarningKind = Literal[
    "disconnected",
    "reconnected",
    "connection_closed",
    "connection",
    "retrying",
    "not_authorized",
    "not_permitted",
    "attempt_unknown",
    "bad_value",
    "update_after_end",
    "superseded",
    "event_truncated",
    "not_acknowledged",
]


@dataclass(frozen=True)
class ReporterWarning:
    """What a worker's author may want to know, and need not act on: nothing of this reaches the job.

    - ``disconnected``: NATS cannot be reached. States are kept and sent later.
    - ``reconnected``: NATS can be reached again.
    - ``connection_closed``: the owner closed the connection for good.
    - ``connection``: the client of NATS reports an error.
    - ``retrying``: an event was not stored, or not answered. It is sent again.
    - ``not_authorized``: NATS refuses the credentials. The reporter tries again, but somebody has to fix them.
    - ``not_permitted``: NATS does not permit something that is needed. Nothing is written until it does.
    - ``attempt_unknown``: the job has events that this worker may not read. Without an ``attempt`` nothing is written
      until it may. With one, this is that attempt, whatever was before.
    - ``bad_value``: a number is NaN, infinite, or a total below 0. It counts as unknown, and the job goes on.
    - ``update_after_end``: a report came after the job's end, and was left out.
    - ``superseded``: this worker has lost its job.
    - ``event_truncated``: NATS does not take this event, or an error could not be sent as it is. Less of it is sent.
    - ``not_acknowledged``: the reporter was closed, or a wait timed out, before an event was acknowledged.
    """

    kind: WarningKind
    message: str
    processing_id: str | None = None
    error: NotPermittedError | NotAuthorizedError | None = None
    """For programs: what NATS refuses, where the warning is about that."""


# How often the frequent kinds are told: each once in so many seconds.
_INTERVAL_SECONDS = 1.0
# States that last: told when they begin, and then so often, until NATS is back.
_PERSISTENT_INTERVAL_SECONDS = 60.0
_PERSISTENT: frozenset[WarningKind] = frozenset({"disconnected", "not_authorized"})
_RATE_LIMITED: frozenset[WarningKind] = frozenset(
    {"retrying", "not_permitted", "attempt_unknown", "update_after_end", "connection", "event_truncated"}
)


def log_warning(warning: ReporterWarning) -> None:
    """What is done with warnings unless something else is asked for."""
    level = logging.INFO if warning.kind == "reconnected" else logging.WARNING
    about = "" if warning.processing_id is None else f"job {warning.processing_id}: "
    logger.log(level, "%s: %s%s", warning.kind, about, warning.message)


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


class WarningLimiter:
    """Passes warnings on: the frequent kinds at most once a second each, what lasts once a minute. Never
    raises."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._last: dict[WarningKind, float] = {}

    def __call__(
        self,
        kind: WarningKind,
        message: str,
        processing_id: str | None = None,
        error: NotPermittedError | NotAuthorizedError | None = None,
    ) -> None:
        now = self._options.clock().monotonic
        interval = (
            _PERSISTENT_INTERVAL_SECONDS
            if kind in _PERSISTENT
            else _INTERVAL_SECONDS
            if kind in _RATE_LIMITED
            else 0
        )
        if now - self._last.get(kind, float("-inf")) < interval:
            return
        if kind == "reconnected":
            for persistent in _PERSISTENT:
                self._last.pop(persistent, None)
        self._last[kind] = now
        try:
            self._options.on_warning(ReporterWarning(kind, message, processing_id, error))
        except Exception:
            logger.exception("on_warning raised")
