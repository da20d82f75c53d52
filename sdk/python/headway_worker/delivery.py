"""Sends the events of one job: one in flight, the newest state behind it, each until it is stored."""

from __future__ import annotations

import asyncio
import random
import secrets
from typing import Literal, Mapping, Union

from .contract import subject_of
from .errors import EventTooLargeError, HeadwayError, NotPermittedError
from .fencing import Go, Stored, Superseded, Writer, begin, judge
from .conflict_lookup import HiddenError, inquire
from .jetstream import Again, Conflict, ConnectionOver, Denied, JobLog, ReadError, Refused
from .send_queue import Draft, Mailbox
from .options import Teller
from .shorten import shortened

_RETRY_FIRST_SECONDS = 0.1
_RETRY_MOST_SECONDS = 5.0
# After so many questions that nobody heard in a row it is no matter of time.
_NOBODY_THERE = 3

# For how long JetStream knows an id again: its 2 minutes, less what an event may take to get there.
_KNOWN_AGAIN_SECONDS = 110.0

# How it went: the end is stored, or a failure instead of it, as NATS takes no result so large; another attempt has the
# job, or it is over; the end could not be stored.
Ending = Union[Literal["stored", "lost"], EventTooLargeError, Superseded]


class _Over(Exception):
    def __init__(self, ending: Ending) -> None:
        self.ending = ending


class Pump:
    """One for each running job.

    :param attempt: the attempt that is asked for; None: one more than the last
    :param headers: go with every event; ``ce_source`` adds CloudEvents' attributes
    :param interval: seconds between two updates
    """

    def __init__(
        self,
        processing_id: str,
        attempt: int | None,
        headers: Mapping[str, str],
        ce_source: str | None,
        interval: float,
        log: JobLog,
        tell: Teller,
    ) -> None:
        self._id = processing_id
        self._subject = subject_of(processing_id)
        self._wanted = attempt
        self._headers = headers
        self._ce_source = ce_source
        self._interval = interval
        self._log = log
        self._tell = tell
        # Nobody can guess it, so nobody can have an event of ours taken for a duplicate.
        self._run = f"{secrets.token_urlsafe(16)}."
        self._sent = 0
        # A new job is the usual case: it costs no read. The log says so if it is another.
        self._go = Go(0, attempt or 1)
        # A try since the last acknowledgement may be stored.
        self._is_unsure = False
        # When the first of them was made, by the clock of the event loop.
        self._tried_at = 0.0
        # The sequence of the newest message, behind which ours is sent though it may be stored already: then the answer
        # has a lower one.
        self._assumed: int | None = None
        # How often in a row nobody heard the question for the job's last event.
        self._unheard = 0
        # The end could not be stored as it was.
        self._too_large: EventTooLargeError | None = None
        self._mailbox = Mailbox()
        self._offered = asyncio.Event()
        self._no_pause = asyncio.Event()
        self.attempt: int | None = None
        """None until the first event is stored."""
        self.begun = asyncio.Event()
        """Set when the first event is stored, or the job is lost."""
        self.idle = asyncio.Event()
        """Set while everything that was offered is stored."""
        self.refused = asyncio.Event()
        """Set while NATS refuses the credentials or a permission: waiting does not mend that."""
        self.problem: str | None = None
        """Why the newest event is not stored yet, for people; None: nothing is known to be wrong."""
        self.done: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    def offer(self, draft: Draft) -> None:
        """Takes the newest state, over one that has not been sent yet."""
        self._mailbox.put(draft)
        self.idle.clear()
        self._offered.set()
        if draft.is_end:
            self._no_pause.set()

    def flush(self) -> None:
        """What is offered, from here on, is sent without keeping the distance in time."""
        self._no_pause.set()

    async def run(self) -> None:
        """Until the end of the job is stored, or the job is lost; ``done`` says which. Raises cancellations only."""
        ending: Ending = "lost"
        try:
            while True:
                await self._offered.wait()
                self._offered.clear()
                await self._send_all()
                self.idle.set()
        except _Over as over:
            ending = over.ending
        except ConnectionOver:
            self._tell(
                "connection_closed", "the connection to NATS was closed; nothing more is sent", self._id
            )
        except asyncio.CancelledError:
            if not self.idle.is_set():
                self._tell("not_acknowledged", "the newest state may not be stored", self._id)
            raise
        finally:
            self.idle.set()
            self.begun.set()
            if not self.done.done():
                self.done.set_result(ending)

    async def _send_all(self) -> None:
        while (draft := self._mailbox.take()) is not None:
            self._sent += 1
            is_stored = await self._store(draft)
            if draft.is_end:
                raise _Over((self._too_large or "stored") if is_stored else "lost")
            if self._mailbox.is_empty:
                self.idle.set()
            try:
                await asyncio.wait_for(self._no_pause.wait(), self._interval)
            except asyncio.TimeoutError:
                pass

    async def _store(self, draft: Draft) -> bool:
        """Whether it is stored; if not, it never will be. The same message is sent until that is known."""
        # Whoever has read one id must not be able to guess the next.
        msg_id = f"{self._run}{self._sent}.{secrets.token_urlsafe(9)}"
        is_short = False
        pause = _RETRY_FIRST_SECONDS
        await self._log.connected(self._refuse)
        self._tried_at = asyncio.get_running_loop().time()
        while True:
            await self._log.connected(self._refuse)
            body = draft.body(self._go.attempt)
            headers = {**self._headers, **self._attributes(draft, msg_id)}
            match await self._log.append(self._subject, body, msg_id, self._go.expected, headers):
                case Stored(seq, is_duplicate):
                    if is_duplicate and self._assumed is not None and seq < self._assumed:
                        raise _Over(Superseded("newer_attempt", self._assumed))
                    return self._stored(seq)
                case Refused(why):
                    self._tell("not_sendable", why, self._id)
                    if is_short:
                        return False
                    # Under the same id: what is too large was stored by no try.
                    draft, self._too_large = shortened(draft)
                    is_short = True
                    continue
                case Again(why):
                    self._is_unsure = True
                    self.problem = why
                    self._tell("retrying", why, self._id)
                case Denied(error):
                    # It was refused before JetStream saw it; but where answers are, it may be stored.
                    self._is_unsure = self._is_unsure or error.operation == "subscribe"
                    self._refuse(error)
                    self._tell("not_permitted", str(error), self._id, error)
                case Conflict(last):
                    before = self._go
                    if await self._settle(draft, msg_id, last):
                        return True
                    if self._go.expected != before.expected:
                        continue
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(pause * 2, _RETRY_MOST_SECONDS)

    async def _settle(self, draft: Draft, msg_id: str, told: int | None) -> bool:
        """Finds out what stands in the way: True when it is the message itself, else where to try next is known."""
        has_begun = self.attempt is not None
        writer = Writer(
            run=self._run,
            msg_id=msg_id,
            attempt=self._go.attempt,
            percent=draft.progress,
            has_begun=has_begun,
            is_unsure=self._is_unsure,
            is_known_again=asyncio.get_running_loop().time() - self._tried_at < _KNOWN_AGAIN_SECONDS,
        )
        try:
            last = await inquire(self._log, self._subject, told, self._go.expected, writer)
        except ReadError as error:
            self._unread(error, told)
            return False
        except HiddenError as hidden:
            self._unread(hidden.error, told, is_hidden=True)
            return False
        self._unheard = 0
        if has_begun or (last is not None and last.msg_id == msg_id):
            verdict = judge(last, writer)
        else:
            verdict = begin(last, self._wanted, writer)
        match verdict:
            case Stored(stored):
                return self._stored(stored)
            case Superseded():
                self.attempt = self.attempt or self._wanted
                raise _Over(verdict)
            case Go(expected, attempt):
                # Somebody has this attempt, or a higher one. If the event may be stored beneath, JetStream knows it again
                # by its id, and the job is the other's.
                if not has_begun and self._is_unsure and attempt != self._go.attempt:
                    self._assumed = expected
                self._go = verdict
                return False

    def _unread(self, error: ReadError, told: int | None, is_hidden: bool = False) -> None:
        """Whose the last event is cannot be known for now, or as long as it may not be read."""
        self._unheard = self._unheard + 1 if error.is_forbidden and not error.is_certain else 0
        self.problem = str(error)
        if not error.is_forbidden or 0 < self._unheard < _NOBODY_THERE:
            self._tell("retrying", str(error), self._id)
        elif self.attempt is None or is_hidden:
            self._go_unread(error, told)
        elif not self._is_unsure or told is None:
            # All that was sent was answered: it is somebody else's.
            raise _Over(Superseded("other_writer", told or 0))
        else:
            # It is ours, most likely. Under the same id JetStream knows it again and stores nothing.
            self._go = Go(told, self.attempt)

    def _go_unread(self, read: ReadError, told: int | None) -> None:
        """A guess could write over a newer attempt, or behind an end. An author who names the attempt does not guess. And
        what is no event takes nobody his job, but it may stand on something that does."""
        error = NotPermittedError(self._id, read.subjects, str(read))
        if self.attempt is not None:
            self._tell("not_permitted", f"{error}. Nothing is written until then", self._id, error)
        elif self._wanted is None:
            message = f"{error}. Nothing is written until then, or give the attempt"
            self._tell("attempt_unknown", message, self._id, error)
        else:
            message = f"{error}. This is attempt {self._wanted} whatever was before"
            self._tell("attempt_unknown", message, self._id, error)
            if told is not None:
                self._go = Go(told, self._wanted)

    def _refuse(self, error: HeadwayError) -> None:
        self.problem = str(error)
        self.refused.set()

    def _stored(self, seq: int) -> bool:
        self._is_unsure = False
        self.problem = None
        self.refused.clear()
        self._assumed = None
        self._go = Go(seq, self._go.attempt)
        self.attempt = self._go.attempt
        self.begun.set()
        return True

    def _attributes(self, draft: Draft, msg_id: str) -> Mapping[str, str]:
        """CloudEvents in binary mode: the body stays as it is."""
        if self._ce_source is None:
            return {}
        return {
            "ce-specversion": "1.0",
            "ce-id": msg_id,
            "ce-source": self._ce_source,
            "ce-type": f"headway.progress.{draft.status}",
            "ce-subject": self._id,
            "ce-time": draft.timestamp,
            "ce-datacontenttype": "application/json",
        }
