"""Who may write to a job: what follows from the last event in the stream. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Sequence, Union

from .contract import Event
from .errors import SupersededReason

# The code of the error that an edge writes for a job which fell silent.
_TIMEOUT_CODE = "timeout"


@dataclass(frozen=True)
class LastMessage:
    """``seq`` is that of the subject's newest message; the rest is of the message that says whose the job is. ``event``
    is None for what is no event. ``expected``: the sequence that its writer expected the message before it to have, as
    its header says (0: none); None: it was written without a condition."""

    seq: int
    event: Event | None
    msg_id: str | None
    expected: int | None = None


@dataclass(frozen=True)
class Send:
    """Write behind ``expected`` (0: the subject has no message), as ``attempt``."""

    expected: int
    attempt: int


@dataclass(frozen=True)
class Stored:
    """The message in question is in the stream; the subject's newest message is ``seq``. ``is_duplicate``: it was before."""

    seq: int
    is_duplicate: bool = False


@dataclass(frozen=True)
class Superseded:
    reason: SupersededReason
    seq: int


@dataclass(frozen=True)
class Writer:
    """Who asks. Ids of its messages begin with ``run_id``; ``msg_id`` is the refused one's. ``percent``: none of its events
    said more. ``has_begun``: an event of it is stored. ``may_be_stored``: a try of this message may be stored.
    ``is_in_dedup_window``: if it was, JetStream still knows its id, and does not store it again."""

    run_id: str
    msg_id: str
    attempt: int
    percent: float
    has_begun: bool
    may_be_stored: bool
    is_in_dedup_window: bool


def is_conclusive(message: LastMessage, writer: Writer) -> bool:
    """Whether a message alone tells how high the attempts of its job are, so that earlier ones need not be read.

    A message with an id and a condition comes from a writer that knew the events before it. Other publishers may write
    any attempt at any time, or none. The timeout event of an edge, which has no id, repeats the attempt that it found.
    """
    if _is_ours(message, writer):
        return True
    attempt = None if message.event is None else message.event.get("attempt")
    if attempt is None:
        return False
    if writer.has_begun and attempt > writer.attempt:
        return True
    return bool(message.msg_id) and message.expected is not None


def current_claim(messages: Sequence[LastMessage], writer: Writer, floor: int) -> LastMessage:
    """The message that tells who has the job: one of the highest attempt, and the one of that attempt that counts most. An
    event without an attempt belongs to the highest attempt before it, and matters only if it is terminal.

    :param messages: from the oldest to the newest, at least one
    :param floor: the attempt before them; 0: none is known
    :returns: with the sequence of the newest one; without an event where none of them tells who has the job
    """
    highest = floor
    claim: LastMessage | None = None
    for message in messages:
        event = message.event
        if event is None:
            continue
        is_timeout = _is_edge_timeout(message)
        has_ended = _has_ended(event)
        if "attempt" not in event and (not has_ended or (is_timeout and (highest > 0 or writer.has_begun))):
            continue
        attempt = int(event.get("attempt", highest or (writer.attempt if writer.has_begun else 1)))
        if attempt < highest:
            continue
        beside = claim if attempt == highest else None
        highest = attempt
        if beside is not None:
            # A timeout says that this attempt fell silent, not whose it is.
            if is_timeout and (writer.has_begun or _is_ours(beside, writer)):
                continue
            # And nothing after a terminal event undoes it.
            if _is_terminal(beside) and (is_timeout or not has_ended):
                continue
        claim = replace(message, event={**event, "attempt": attempt})
    seq = messages[-1].seq
    return LastMessage(seq, None, None) if claim is None else replace(claim, seq=seq)


def resolve_start(last: LastMessage | None, requested: int | None, writer: Writer) -> Union[Send, Superseded]:
    """Where an attempt begins: ``requested``, if that is higher than the last; without it, one more than the last."""
    if last is None or last.event is None:
        return Send(0 if last is None else last.seq, requested or 1)
    # A queue may write "queued" without an attempt, which uses none. A terminal event without one ends the first.
    before = int(last.event.get("attempt", 1 if _has_ended(last.event) else 0))
    # Another worker counts up from what it finds. So if ours was stored and the job was then taken, the other attempt is
    # higher. But ours was only a guess, and a job that ran twice before has a higher one, too. Sending under the same
    # message id lets JetStream tell these cases apart.
    if (
        requested is None
        and writer.may_be_stored
        and not writer.is_in_dedup_window
        and before > writer.attempt
    ):
        return Superseded("newer_attempt", last.seq)
    attempt = before + 1 if requested is None else requested
    if attempt > before:
        return Send(last.seq, attempt)
    return Superseded("newer_attempt" if attempt < before else _reason(last.event), last.seq)


def resolve_conflict(last: LastMessage | None, writer: Writer) -> Union[Send, Stored, Superseded]:
    """What follows from a conflict for a message of a run that has begun."""
    attempt = writer.attempt
    if last is None:
        # The stream was made again, or the job's events were removed: nobody is written over.
        return Send(0, attempt)
    if last.msg_id == writer.msg_id:
        return Stored(last.seq)
    # Ours, but older: the server was restored from an older copy.
    if last.event is None or _is_ours(last, writer):
        return Send(last.seq, attempt)
    is_timeout = _is_edge_timeout(last)
    # An end that names no attempt is the end of this one. A timeout is none: it is of what was written without one.
    theirs = int(last.event.get("attempt", attempt if _has_ended(last.event) and not is_timeout else 0))
    if theirs < attempt:
        return Send(last.seq, attempt)
    if theirs > attempt:
        return Superseded("newer_attempt", last.seq)
    if not is_timeout:
        return Superseded(_reason(last.event), last.seq)
    # An edge timed us out. It repeats the percent of the last event, so a higher one comes from another writer.
    if float(last.event["progress"]) <= writer.percent:
        return Send(last.seq, attempt)
    return Superseded("other_writer", last.seq)


def _is_ours(last: LastMessage, writer: Writer) -> bool:
    return last.msg_id is not None and last.msg_id.startswith(writer.run_id)


def _is_terminal(last: LastMessage) -> bool:
    """Whether it ends its attempt. The timeout of an edge does not, because the worker may come back."""
    return last.event is not None and _has_ended(last.event) and not _is_edge_timeout(last)


def _is_edge_timeout(last: LastMessage) -> bool:
    """An edge sets no message id, but a worker always does: an error with an id ends an attempt."""
    error = {} if last.event is None else last.event.get("error", {})
    return not last.msg_id and error.get("code") == _TIMEOUT_CODE and error.get("retryable") is True


def _has_ended(event: Event) -> bool:
    """The end of its attempt. Another one may follow a retryable error."""
    return bool(event["status"] != "processing")


def _reason(event: Event) -> SupersededReason:
    """Why an event of our own attempt, by somebody else, is in the way."""
    if not _has_ended(event):
        return "other_writer"
    return "timeout" if event.get("error", {}).get("code") == _TIMEOUT_CODE else "finished"
