"""Who may write to a job: what follows from the last event in the log. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from .contract import Event
from .errors import SupersededReason

# The code of the error that an edge writes for a job which fell silent.
_TIMEOUT_CODE = "timeout"


@dataclass(frozen=True)
class Last:
    """``seq`` is that of the subject's newest message; the rest is of the message that says whose the job is. ``event``
    is None for what is no event."""

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
    """The message in question is in the log; the subject's newest message is ``seq``. ``is_duplicate``: it was before."""

    seq: int
    is_duplicate: bool = False


@dataclass(frozen=True)
class Superseded:
    reason: SupersededReason
    seq: int


@dataclass(frozen=True)
class Writer:
    """Who asks. Ids of its messages begin with ``run``; ``msg_id`` is the refused one's. ``percent``: none of its events
    said more. ``has_begun``: an event of it is stored. ``is_unsure``: a try of this message may be stored.
    ``is_known_again``: if it was, JetStream still knows its id, and does not store it again."""

    run: str
    msg_id: str
    attempt: int
    percent: float
    has_begun: bool
    is_unsure: bool
    is_known_again: bool


def says_too_little(last: Last, writer: Writer) -> bool:
    """Whether a message does not say by itself whose the job is, so that the one beneath it has to be looked at.

    What is no event says nothing; and the time-out of an edge says that somebody's attempt fell silent, and not whose.
    For a run that begins that is enough, since it takes another attempt, unless a first event of its own may be stored.
    """
    if last.event is None:
        return True
    if not _is_timeout_of_edge(last):
        return False
    is_ours = int(last.event.get("attempt", writer.attempt)) == writer.attempt
    return is_ours and (writer.has_begun or writer.is_unsure)


def begin(last: Last | None, wanted: int | None, writer: Writer) -> Union[Go, Superseded]:
    """Where an attempt begins: ``wanted``, if that is higher than the last; without it, one more than the last."""
    if last is None or last.event is None:
        return Go(0 if last is None else last.seq, wanted or 1)
    # Whoever accepts a job may write "queued" without an attempt, which takes none. An end without one is the first's.
    before = int(last.event.get("attempt", 1 if _is_over(last.event) else 0))
    # Another worker counts on from what it finds. So if ours was stored, and the job then taken, its is the higher one;
    # but ours was only a guess, and a job that was tried twice before has a higher one as well. Sent under the id that it
    # has, JetStream tells the one from the other.
    if wanted is None and writer.is_unsure and not writer.is_known_again and before > writer.attempt:
        return Superseded("newer_attempt", last.seq)
    attempt = before + 1 if wanted is None else wanted
    if attempt > before:
        return Go(last.seq, attempt)
    return Superseded("newer_attempt" if attempt < before else _reason(last.event), last.seq)


def judge(last: Last | None, writer: Writer) -> Union[Go, Stored, Superseded]:
    """What a refused sequence means for a message of a run that has begun."""
    attempt = writer.attempt
    if last is None:
        # The stream was made again, or the job's events were removed: nobody is written over.
        return Go(0, attempt)
    if last.msg_id == writer.msg_id:
        return Stored(last.seq)
    # Ours, but older: the server was restored from an older copy.
    if last.event is None or (last.msg_id is not None and last.msg_id.startswith(writer.run)):
        return Go(last.seq, attempt)
    is_timeout = _is_timeout_of_edge(last)
    # An end that names no attempt is the end of this one. A time-out is none: it is of what was written without one.
    theirs = int(last.event.get("attempt", attempt if _is_over(last.event) and not is_timeout else 0))
    if theirs < attempt:
        return Go(last.seq, attempt)
    if theirs > attempt:
        return Superseded("newer_attempt", last.seq)
    if not is_timeout:
        return Superseded(_reason(last.event), last.seq)
    # An edge took us for dead. It tells where the job was, so by a higher percent it speaks of somebody else's event.
    if float(last.event["progress"]) <= writer.percent:
        return Go(last.seq, attempt)
    return Superseded("other_writer", last.seq)


def _is_timeout_of_edge(last: Last) -> bool:
    """An edge gives it no id, and a worker gives one to whatever it writes: what has one is the end of its attempt."""
    error = {} if last.event is None else last.event.get("error", {})
    return not last.msg_id and error.get("code") == _TIMEOUT_CODE and error.get("retryable") is True


def _is_over(event: Event) -> bool:
    """The end of its attempt. Another one may follow a retryable error."""
    return bool(event["status"] != "processing")


def _reason(event: Event) -> SupersededReason:
    """Why an event of our own attempt, by somebody else, is in the way."""
    if not _is_over(event):
        return "other_writer"
    return "timeout" if event.get("error", {}).get("code") == _TIMEOUT_CODE else "finished"
