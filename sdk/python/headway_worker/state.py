"""The whole current state of one job, from which each event is made. Pure: the time is passed in."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any, Mapping, NamedTuple

from .contract import (
    ERROR_CODE_MAX_CHARACTERS,
    EVENT_MAX_BYTES,
    MAX_LEVELS,
    MAX_SAFE_INTEGER,
    MESSAGE_MAX_CHARACTERS,
    STEP_NAME_MAX_CHARACTERS,
    Event,
    ValidationIssue,
    check_event,
    encode,
    is_too_deep,
)
from .errors import EventTooLargeError, InvalidEventError
from .failure import Failure
from .send_queue import OutgoingEvent
from .values import Encoder, OnUnknown, amount_of, default_encoder, place_of, plain

# 100 is for `completed` alone.
MAX_WHILE_RUNNING = 99.9

_ATTEMPT_BYTES = len(b'"attempt":,') + len(str(MAX_SAFE_INTEGER))
_RESERVED = frozenset(
    "processing_id status progress timestamp type message job_type attempt step indeterminate eta_seconds "
    "stall_after_seconds timeout_seconds result error current total seq prev_seq "
    "folded resume_seq".split()
)
# True only while the job runs.
_RUNNING = frozenset(("eta_seconds", "indeterminate"))
# What names the job and its place: with only these an event is never large.
MINIMAL_FIELDS = frozenset(
    "processing_id progress timestamp job_type stall_after_seconds timeout_seconds".split()
)


_TRUNCATED_FIELDS = MINIMAL_FIELDS | frozenset("status current total indeterminate eta_seconds".split())
_MINIMAL_MESSAGE_CHARACTERS = 256
# Of the rate: how many samples are kept, and how far they are apart at first.
_MAX_SAMPLES = 16
_FIRST_SPACING_SECONDS = 0.25
# Fewer samples, or less time, say nothing about a rate.
_MIN_SAMPLES = 5
_MIN_SPAN_SECONDS = 2.0
_MAX_DEVIATION = 0.25


class Timestamp(NamedTuple):
    """``wall``: seconds since 1970, for timestamps. ``monotonic``: seconds of a clock that never jumps."""

    wall: float
    monotonic: float


@dataclass(frozen=True)
class Step:
    """Which step of how many the job is in."""

    name: str | None = None
    index: int | None = None
    total: int | None = None


class Unset:
    """For arguments that were not given, where None is a value."""


UNSET = Unset()


class JobState:
    """Merges reports into one state. An invalid report leaves the state as it was.

    :param begin: the fields of the job itself, None where they are not given
    :param attempt: only checked: it is put into an event when that is sent
    :param encoder: for values that JSON has no form for
    :param on_unknown: called with values that count as unknown, such as an amount that is NaN
    :raises InvalidEventError: from every method, for what no event can hold
    :raises EventTooLargeError: from every method, for an event of more than 64 KiB
    """

    def __init__(
        self,
        initial: Event,
        attempt: int | None,
        at: Timestamp,
        fields: Event | None = None,
        encoder: Encoder = default_encoder,
        on_unknown: OnUnknown = lambda _: None,
    ) -> None:
        self._rate_estimate = RateEstimate()
        self._encoder = encoder
        self._on_unknown = on_unknown
        total = self._amount("total", initial.get("total"), 0)
        given = {name: value for name, value in {**initial, "total": total}.items() if value is not None}
        self._event: dict[str, Any] = {**given, "status": "processing", "progress": 0.0}
        self._event["message"] = (
            _truncate(given["message"], MESSAGE_MAX_CHARACTERS) if "message" in given else _REMOVED
        )
        first = {**self._event, **self._own(fields), "timestamp": _timestamp(at)}
        if attempt is not None:
            self._take({**first, "attempt": attempt})
        self.outgoing = self._take(first)

    def report(
        self,
        at: Timestamp,
        *,
        current: float | None = None,
        total: float | None = None,
        progress: float | None = None,
        message: str | None = None,
        step: Step | str | None = None,
        indeterminate: bool | None = None,
        eta_seconds: float | None = None,
        fields: Event | None = None,
    ) -> OutgoingEvent:
        """The next `processing` event. What is left out stays as it was."""
        current = self._amount("current", current)
        total = self._amount("total", total, 0)
        progress = self._amount("progress", progress)
        eta_seconds = self._amount("eta_seconds", eta_seconds, 0)
        percent = self._percent(current, total, progress)
        said = {
            "current": current,
            "total": total,
            "progress": percent,
            "message": _truncate(message, MESSAGE_MAX_CHARACTERS),
            "step": self._step(step),
            "indeterminate": indeterminate,
        }
        event = {
            **self._event,
            **self._own(fields),
            **{name: value for name, value in said.items() if value is not None},
        }
        event.pop("eta_seconds", None)
        shown = event["progress"]
        left = self._rate_estimate.seconds_left(at.monotonic, shown) if eta_seconds is None else eta_seconds
        if left is not None and event.get("indeterminate") is not True:
            event["eta_seconds"] = left
        outgoing = self._take({**event, "timestamp": _timestamp(at)})
        if percent is not None:
            self._rate_estimate.add_sample(at.monotonic, shown)
        return outgoing

    def complete(self, at: Timestamp, result: Any = UNSET) -> OutgoingEvent:
        """The `completed` event, with 100 per cent."""
        over = {} if isinstance(result, Unset) else {"result": self._plain(result, "/result")}
        reached = float(self._event["progress"])
        return self._take({**self._ending(at), "status": "completed", "progress": 100, **over}, reached)

    def fail(self, at: Timestamp, failure: Failure) -> OutgoingEvent:
        """The `error` event. The percent stays where it was."""
        details = None if failure.details is None else self._plain(failure.details, "/error/details", 3)
        error = _error(replace(failure, details=details))
        return self._take({**self._ending(at), "status": "error", "error": error})

    def fail_minimal(self, at: Timestamp, failure: Failure) -> OutgoingEvent:
        """As `fail`, without details and the worker's own fields: what is left always fits."""
        kept = {name: value for name, value in self._ending(at).items() if name in MINIMAL_FIELDS}
        brief = Failure(str(failure.code), str(failure.message), failure.retryable is True)
        return self._take({**kept, "status": "error", "error": _error(brief)})

    def _ending(self, at: Timestamp) -> dict[str, Any]:
        kept = {name: value for name, value in self._event.items() if name not in _RUNNING}
        return {**kept, "timestamp": _timestamp(at)}

    def _percent(self, current: float | None, total: float | None, progress: float | None) -> float | None:
        """The percent to show, never below the one before; None when nothing was said about it."""
        if progress is None and (current is not None or total is not None):
            # Amounts of an earlier report say nothing about this one, so a message alone does not move the percent.
            done = self._event.get("current") if current is None else current
            of = self._event.get("total") if total is None else total
            progress = 100 * done / of if done is not None and of is not None and of > 0 else None
        if progress is None:
            return None
        return max(float(self._event["progress"]), min(round(float(progress), 1), MAX_WHILE_RUNNING))

    def _amount(self, name: str, value: Any, minimum: float = -math.inf) -> float | None:
        if value is None:
            return None
        amount = amount_of(value, minimum)
        if amount is None:
            self._on_unknown(f"/{name} is {_shown(value)}; it is taken as unknown")
        return amount

    def _plain(self, value: Any, path: str, level: int = 2) -> Any:
        return plain(value, self._encoder, path, self._on_unknown, level)

    def _own(self, fields: Mapping[str, Any] | None) -> dict[str, Any]:
        """A worker's own fields, copied. None takes one out."""
        own: dict[str, Any] = {}
        for name, value in (fields or {}).items():
            if not isinstance(name, str) or name in _RESERVED:
                raise InvalidEventError(
                    ValidationIssue(f"/{name}", "is a name of the protocol that a report may not set")
                )
            own[name] = _REMOVED if value is None else self._plain(value, f"/{name}")
        return own

    def _step(self, step: Step | str | None) -> dict[str, Any] | None:
        if step is None:
            return None
        if isinstance(step, str):
            step = Step(step)
        if not isinstance(step, Step):
            raise InvalidEventError(ValidationIssue("/step", f"is {step!r}; expected a Step, or its name"))
        parts: dict[str, Any] = {"name": _truncate(step.name, STEP_NAME_MAX_CHARACTERS)}
        for name, value in (("index", step.index), ("total", step.total)):
            parts[name] = None if value is None else place_of(value)
            if value is not None and parts[name] is None:
                self._on_unknown(f"/step/{name} is {_shown(value)}; it is taken as unknown")
        return {name: value for name, value in parts.items() if value is not None}

    def _take(self, event: dict[str, Any], reached: float | None = None) -> OutgoingEvent:
        event = {name: value for name, value in event.items() if value is not _REMOVED}
        issue = check_event(event)
        if issue is not None:
            raise InvalidEventError(issue)
        try:
            text = encode(event)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidEventError(ValidationIssue("", f"cannot be written as JSON: {error}")) from error
        if is_too_deep(text.decode()):
            deep = next((name for name, value in event.items() if is_too_deep(f"[{json.dumps(value)}]")), "")
            raise InvalidEventError(
                ValidationIssue(
                    f"/{deep}" if deep else "", f"makes the event more than {MAX_LEVELS} levels deep"
                )
            )
        size = len(text) + _ATTEMPT_BYTES
        if size > EVENT_MAX_BYTES:
            raise EventTooLargeError(size, EVENT_MAX_BYTES)
        self._event = event
        progress = float(event["progress"])
        self.outgoing = OutgoingEvent(
            event["status"], event["timestamp"], text, progress, progress if reached is None else reached
        )
        return self.outgoing


class RateEstimate:
    """An estimate of the remaining time, given only where the rate is steady: one that jumps is worse than none.

    Keeps samples of (seconds, percent) over the whole attempt, evenly spaced. When there are too many, every second
    one is dropped and the spacing doubles: memory is bounded, and the window grows with the job."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, float]] = []
        self._spacing = _FIRST_SPACING_SECONDS

    def add_sample(self, seconds: float, percent: float) -> None:
        """``seconds`` of a clock that never jumps; ``percent`` never falls."""
        if self._samples and seconds - self._samples[-1][0] < self._spacing:
            return
        self._samples.append((seconds, percent))
        if len(self._samples) == _MAX_SAMPLES:
            self._samples = self._samples[1::2]
            self._spacing *= 2

    def seconds_left(self, seconds: float, percent: float) -> float | None:
        """To a tenth below 10, whole above. The newer half of the samples decides. The rate is steady when the rates
        between neighbours differ from their mean, weighted by time, by at most a quarter of it on average."""
        points = self._samples[-max(_MIN_SAMPLES, (len(self._samples) + 1) // 2) :]
        if points and seconds > points[-1][0]:
            points = [*points, (seconds, percent)]
        if len(points) < _MIN_SAMPLES:
            return None
        elapsed = seconds - points[0][0]
        rate = (percent - points[0][1]) / elapsed if elapsed >= _MIN_SPAN_SECONDS else 0.0
        if rate <= 0:
            return None
        deviation = sum(abs(to[1] - of[1] - rate * (to[0] - of[0])) for of, to in pairwise(points))
        if deviation > _MAX_DEVIATION * rate * elapsed:
            return None
        left = (100 - percent) / rate
        return round(left, 1) if left < 10 else float(round(left))


def minimal_event(outgoing: OutgoingEvent) -> tuple[OutgoingEvent, EventTooLargeError | None]:
    """The same event with what names the job and its place alone. A result cannot be left out as if there were none: then
    it is the failure that is given back beside it."""
    event = json.loads(outgoing.json)
    kept = {name: value for name, value in event.items() if name in _TRUNCATED_FIELDS}
    failure = None
    if "result" in event:
        failure = EventTooLargeError(len(outgoing.json), None)
        error = {"code": failure.code, "message": str(failure), "retryable": False}
        kept = {**kept, "status": "error", "progress": outgoing.reached, "error": error}
    elif "error" in event:
        error = {name: event["error"][name] for name in ("code", "retryable") if name in event["error"]}
        kept["error"] = {
            **error,
            "message": str(event["error"].get("message", ""))[:_MINIMAL_MESSAGE_CHARACTERS],
        }
    reduced = OutgoingEvent(
        kept["status"], outgoing.timestamp, encode(kept), float(kept["progress"]), outgoing.reached
    )
    return reduced, failure


_REMOVED = Unset()


def _shown(value: object) -> str:
    """Short, on one line, and never raising."""
    try:
        text = " ".join(repr(value).split())
    except Exception:
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."


def _error(failure: Failure) -> dict[str, Any]:
    error = {
        "code": _truncate(failure.code, ERROR_CODE_MAX_CHARACTERS),
        "message": _truncate(failure.message, MESSAGE_MAX_CHARACTERS),
        "retryable": failure.retryable,
        "details": failure.details,
        "stack": failure.stack,
    }
    return {name: value for name, value in error.items() if value is not None}


def _truncate(text: str | None, limit: int) -> str | None:
    # A text for people that is too long is no reason to break a job.
    return text if not isinstance(text, str) or len(text) <= limit else f"{text[: limit - 1]}…"


def _timestamp(at: Timestamp) -> str:
    moment = datetime.fromtimestamp(at.wall, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
