"""What a reporter tells its owner."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .errors import NotAuthorizedError, NotPermittedError

if TYPE_CHECKING:
    from .options import Options

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
