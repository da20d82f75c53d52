"""Finds the event that conflicts with one that was rejected."""

from __future__ import annotations

from typing import Protocol

from .fencing import LastMessage, Writer, current_claim, is_conclusive
from .jetstream import ReadError

# How many messages of a job are read at most to find its attempt. Headway's stream keeps as many of each job, so an
# older attempt counts as one that is not kept any more.
_MAX_MESSAGES = 1_000
# How far back the first read goes, in sequences, and the factor for each further read.
_FIRST_SPAN = 8
_SPAN_FACTOR = 4


class History(Protocol):
    """As :class:`JobStream` has it."""

    async def last(self, subject: str, at_least: int) -> LastMessage | None: ...

    async def range(self, subject: str, start: int, before: int, limit: int) -> list[LastMessage]: ...


class HiddenError(Exception):
    """The newest message does not tell who has the job, and earlier ones may not be read."""

    def __init__(self, error: ReadError) -> None:
        super().__init__(str(error))
        self.error = error


async def lookup_conflict(
    stream: History, subject: str, reported_seq: int | None, expected: int, writer: Writer
) -> LastMessage | None:
    """Finds the event that tells who has the job. Its ``seq`` is that of the job's newest message.

    :param told: the sequence that the subject's newest message has, as JetStream said; None: it did not say
    :param expected: the sequence that it was expected to have: everything up to it is known
    :raises ReadError, HiddenError: when it cannot be known for now
    """
    newest = await stream.last(subject, reported_seq or 0)
    if newest is None:
        return None
    # A run that starts must know all attempts. A message older than expected is of another stream, or an old replica.
    after = expected if writer.has_begun and newest.seq > expected else 0
    previous: list[LastMessage] = []
    if not _has_no_gap(newest, after, writer):
        try:
            previous = await _read_previous(stream, subject, newest, after, writer)
        except ReadError as error:
            if not error.is_forbidden:
                raise
            # Then trust an event that names its attempt. A timeout event of an edge names the attempt that it is about.
            if newest.event is None or "attempt" not in newest.event:
                raise HiddenError(error) from error
    return current_claim([*previous, newest], writer, writer.attempt if after > 0 else 0)


def _has_no_gap(newest: LastMessage, after: int, writer: Writer) -> bool:
    """A condition that was met proves that there is no event in between."""
    return (
        is_conclusive(newest, writer)
        or newest.seq <= after + 1
        or (newest.expected is not None and newest.expected <= after)
    )


async def _read_previous(
    stream: History, subject: str, newest: LastMessage, after: int, writer: Writer
) -> list[LastMessage]:
    """JetStream can read the next message of a subject, but not the previous one. So read back in growing steps, until a
    message proves how high the attempts before it are."""
    oldest = await stream.range(subject, after + 1, newest.seq, 1)
    if not oldest:
        return []
    first = oldest[0].seq
    found: list[LastMessage] = []
    before = newest.seq
    span = _FIRST_SPAN
    while before > first + 1 and len(found) < _MAX_MESSAGES:
        start = max(first + 1, before - span)
        older = await stream.range(subject, start, before, _MAX_MESSAGES - len(found))
        found = [*older, *found]
        if any(is_conclusive(message, writer) for message in older):
            return found
        before = start
        span *= _SPAN_FACTOR
    return [*oldest, *found]
