"""What stands in the way of an event that was refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from .fence import Last, Writer, says_too_little
from .log import ReadError


class History(Protocol):
    """As :class:`JobLog` has it."""

    async def last(self, subject: str, at_least: int) -> Last | None: ...

    async def beneath(self, subject: str, newest: int, after: int) -> Last | None: ...


class HiddenError(Exception):
    """The newest message is no event, and what stands beneath it may not be read."""

    def __init__(self, error: ReadError) -> None:
        super().__init__(str(error))
        self.error = error


async def inquire(log: History, subject: str, told: int | None, expected: int, writer: Writer) -> Last | None:
    """Finds the event that says whose the job is. Its ``seq`` is that of the job's newest message.

    :param told: the sequence that the subject's newest message has, as JetStream said; None: it did not say
    :param expected: the sequence that it was expected to have: up to there everything is known
    :raises ReadError, HiddenError: when it cannot be known for now
    """
    newest = await log.last(subject, told or 0)
    if newest is None:
        return None
    # Whoever begins must know of all attempts. And what is older than expected is another stream's, or an older copy.
    after = expected if writer.has_begun and newest.seq > expected else 0
    top = newest
    while says_too_little(top, writer) and top.seq > after + 1:
        try:
            beneath = await log.beneath(subject, top.seq, after)
        except ReadError as error:
            if not error.is_forbidden:
                raise
            if top.event is None:
                raise HiddenError(error) from error
            # A time-out carries what it was judged by: the attempt, and where that was.
            break
        if beneath is None:
            break
        top = beneath
    return replace(top, seq=newest.seq)
