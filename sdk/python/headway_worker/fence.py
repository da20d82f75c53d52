"""Who may write to a job: what follows from the last event in the log. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from .contract import Event
from .errors import SupersededReason

# The code that an edge gives to the end of a job which fell silent.
_TIMEOUT_CODE = "timeout"


@dataclass(frozen=True)
class Last:
    """``seq`` is that of the subject's newest message, whatever it holds; the rest is its newest valid event's."""

    seq: int
    event: Event | None
    msg_id: str | None


@dataclass(frozen=True)
class Go:
    """Write behind ``expected`` (0: the subject has no message), as ``attempt``."""

    expected: int
    attempt: int


@dataclass(frozen=True)
class Stored:
    """The message in question is in the log; the subject's newest message is ``seq``."""

    seq: int


@dataclass(frozen=True)
class Superseded:
    reason: SupersededReason
    seq: int


def begin(last: Last | None, wanted: int | None) -> Union[Go, Superseded]:
    """Where an attempt begins: ``wanted``, if that is higher than the last; without it, one more than the last."""
    if last is None or last.event is None:
        return Go(0 if last is None else last.seq, wanted or 1)
    # Whoever accepts a job may write "queued" without an attempt, which takes none. An end without one is the first's.
    before = int(last.event.get("attempt", 1 if _is_over(last.event) else 0))
    attempt = before + 1 if wanted is None else wanted
    if attempt > before:
        return Go(last.seq, attempt)
    return Superseded("newer_attempt" if attempt < before else _reason(last.event), last.seq)


def judge(last: Last | None, run: str, msg_id: str, attempt: int) -> Union[Go, Stored, Superseded]:
    """What a refused sequence means for the message ``msg_id``. Ids of the same worker begin with ``run``."""
    if last is None:
        # The stream was made again, or the job's events were removed: nobody is written over.
        return Go(0, attempt)
    if last.msg_id == msg_id:
        return Stored(last.seq)
    # Ours, but older: the server was restored from an older copy.
    if last.event is None or (last.msg_id is not None and last.msg_id.startswith(run)):
        return Go(last.seq, attempt)
    # An end that names no attempt is the end of this one.
    theirs = int(last.event.get("attempt", attempt if _is_over(last.event) else 0))
    if theirs < attempt:
        return Go(last.seq, attempt)
    return Superseded("newer_attempt" if theirs > attempt else _reason(last.event), last.seq)


def _is_over(event: Event) -> bool:
    """The end of its attempt. Another one may follow a retryable error."""
    return bool(event["status"] != "processing")


def _reason(event: Event) -> SupersededReason:
    """Why an event of our own attempt, by somebody else, is in the way."""
    if not _is_over(event):
        return "other_writer"
    return "timeout" if event.get("error", {}).get("code") == _TIMEOUT_CODE else "finished"
