"""Settings of a reporter, and what it tells its owner."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Callable, Literal

from .errors import NotAuthorizedError, NotPermittedError
from .settings import check_callable, check_flag, check_number, check_prefix, check_source, check_stream
from .state import Moment
from .values import Encoder, default_encoder

logger = logging.getLogger("headway_worker")

TroubleKind = Literal[
    "away",
    "back",
    "connection_closed",
    "connection",
    "retrying",
    "not_authorized",
    "not_permitted",
    "attempt_unknown",
    "bad_value",
    "late_update",
    "superseded",
    "not_sendable",
    "not_acknowledged",
]


@dataclass(frozen=True)
class Trouble:
    """What a worker's author may want to know, and need not act on: nothing of this reaches the job.

    ``away``: NATS cannot be reached, states are kept and sent later; ``back``: it is there again;
    ``connection_closed``: the connection was closed for good by its owner; ``connection``: what it complains of;
    ``retrying``: something was not taken or not answered, and is tried again; ``not_authorized``: NATS refuses the
    credentials, which is tried again, but somebody has to mend it; ``not_permitted``: NATS does not permit
    something that is needed, and nothing is written until it does; ``attempt_unknown``: the job has events that this
    worker may not read: without an ``attempt`` nothing is written until it may, with one this is that attempt, whatever
    was before; ``bad_value``: a number is none (NaN, infinite, a total below 0): it is taken as unknown, and the job goes
    on; ``late_update``: a report came after the job's end, and was left out; ``superseded``: this worker has lost its job; ``not_sendable``: NATS will never take
    this event, or what a job failed with could not be sent as it is; ``not_acknowledged``: the reporter was closed, or
    a wait given up, before something was acknowledged.
    """

    kind: TroubleKind
    message: str
    processing_id: str | None = None
    error: NotPermittedError | NotAuthorizedError | None = None
    """For programs: what NATS refuses, where that is the trouble."""


# How often the frequent kinds are told: each once in so many seconds.
_EVERY_SECONDS = 1.0
# States that last: told when they begin, and then so often, until NATS is back.
_STILL_EVERY_SECONDS = 60.0
_LASTING: frozenset[TroubleKind] = frozenset({"away", "not_authorized"})
_FREQUENT: frozenset[TroubleKind] = frozenset(
    {"retrying", "not_permitted", "attempt_unknown", "late_update", "connection", "not_sendable"}
)


def log_trouble(trouble: Trouble) -> None:
    """What is done with trouble unless something else is asked for."""
    level = logging.INFO if trouble.kind == "back" else logging.WARNING
    about = "" if trouble.processing_id is None else f"job {trouble.processing_id}: "
    logger.log(level, "%s: %s%s", trouble.kind, about, trouble.message)


def system_clock() -> Moment:
    return Moment(time.time(), time.monotonic())


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
    """Between two signs of life of a job; 0 sends none."""
    ack_seconds: float = 5
    """How long one try waits for its acknowledgement."""
    start_seconds: float = 2
    """How long the start of a job waits for its first event to be stored."""
    end_seconds: float | None = 300
    """How long the end of a job waits to be stored; None: for as long as it takes. After it ``complete`` and ``fail``
    return False, and the end is still sent when it can be. Where NATS refuses the credentials or the permission, which
    waiting does not mend, the wait is ``close_seconds`` at the most."""
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
    on_trouble: Callable[[Trouble], None] = log_trouble
    """Called in the event loop; of a bad value in the thread that gave it. What it raises is logged and goes no further."""
    clock: Callable[[], Moment] = system_clock

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
        for name in ("encoder", "on_trouble", "clock"):
            check_callable(name, getattr(self, name))


class Teller:
    """Tells the author of trouble, the frequent kinds at most once a second each, what lasts once a minute. Never
    raises."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._last: dict[TroubleKind, float] = {}

    def __call__(
        self,
        kind: TroubleKind,
        message: str,
        processing_id: str | None = None,
        error: NotPermittedError | NotAuthorizedError | None = None,
    ) -> None:
        now = self._options.clock().steady
        every = _STILL_EVERY_SECONDS if kind in _LASTING else _EVERY_SECONDS if kind in _FREQUENT else 0
        if now - self._last.get(kind, float("-inf")) < every:
            return
        if kind == "back":
            for lasting in _LASTING:
                self._last.pop(lasting, None)
        self._last[kind] = now
        try:
            self._options.on_trouble(Trouble(kind, message, processing_id, error))
        except Exception:
            logger.exception("on_trouble raised")
