"""Sends the events of one job: one in flight, the newest state behind it, each until it is stored."""

from __future__ import annotations

import asyncio
import random
import secrets
from typing import Literal, Mapping, Union

from .conflict_lookup import HiddenError, lookup_conflict
from .contract import subject_of
from .errors import EventTooLargeError, HeadwayError, NotPermittedError
from .fencing import Send, Stored, Superseded, Writer, resolve_conflict, resolve_start
from .jetstream import Busy, Conflict, ConnectionClosed, Denied, JobStream, ReadError, TooLarge
from .send_queue import OutgoingEvent, SendQueue
from .state import minimal_event
from .warning import WarningLimiter

_RETRY_FIRST_SECONDS = 0.1
_RETRY_MAX_SECONDS = 5.0
# After so many reads without a responder the cause is not temporary.
_MAX_UNANSWERED_READS = 3

# How long JetStream detects a duplicate id: its 2 minutes, less the time that an event may take to arrive.
_DEDUP_WINDOW_SECONDS = 110.0

# How it went: the end is stored, or a failure instead of it, as NATS takes no result so large; another attempt has the
# job, or it is over; the end could not be stored.
DeliveryOutcome = Union[Literal["stored", "lost"], EventTooLargeError, Superseded]


class _Finished(Exception):
    def __init__(self, outcome: DeliveryOutcome) -> None:
        self.outcome = outcome


class EventDelivery:
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
        stream: JobStream,
        warn: WarningLimiter,
    ) -> None:
        self._id = processing_id
        self._subject = subject_of(processing_id)
        self._requested = attempt
        self._headers = headers
        self._ce_source = ce_source
        self._interval = interval
        self._stream = stream
        self._warn = warn
        # Random, so nobody can make JetStream drop our events as duplicates.
        self._run_id = f"{secrets.token_urlsafe(16)}."
        self._sent = 0
        # A new job is the usual case and costs no read. A conflict tells if it is not new.
        self._next_send = Send(0, attempt or 1)
        # A try since the last acknowledgement may be stored.
        self._may_be_stored = False
        # When the first of them was made, by the clock of the event loop.
        self._tried_at = 0.0
        # The sequence of the newest message, where ours is sent after it although it may be stored already. If it is, the
        # acknowledgement has a lower sequence.
        self._assumed_seq: int | None = None
        # How many reads in a row of the job's last event had no responder.
        self._unanswered_reads = 0
        # The end could not be stored as it was.
        self._too_large: EventTooLargeError | None = None
        self._queue = SendQueue()
        self._has_work = asyncio.Event()
        self._is_flushed = asyncio.Event()
        self.attempt: int | None = None
        """None until the first event is stored."""
        self.begun = asyncio.Event()
        """Set when the first event is stored, or the job is lost."""
        self.idle = asyncio.Event()
        """Set while everything that was queued is stored."""
        self.refused = asyncio.Event()
        """Set while NATS refuses the credentials or a permission: waiting does not fix that."""
        self.problem: str | None = None
        """Why the newest event is not stored yet, for people; None: nothing is known to be wrong."""
        self.done: asyncio.Future[DeliveryOutcome] = asyncio.get_running_loop().create_future()

    def enqueue(self, outgoing: OutgoingEvent) -> None:
        """Queues the newest state, in place of one that has not been sent yet."""
        self._queue.put(outgoing)
        self.idle.clear()
        self._has_work.set()
        if outgoing.is_end:
            self._is_flushed.set()

    def flush(self) -> None:
        """From here on, what is queued is sent without keeping the distance in time."""
        self._is_flushed.set()

    async def run(self) -> None:
        """Until the end of the job is stored, or the job is lost; ``done`` says which. Raises cancellations only."""
        outcome: DeliveryOutcome = "lost"
        try:
            while True:
                await self._has_work.wait()
                self._has_work.clear()
                await self._send_all()
                self.idle.set()
        except _Finished as finished:
            outcome = finished.outcome
        except ConnectionClosed:
            self._warn(
                "connection_closed", "the connection to NATS was closed; nothing more is sent", self._id
            )
        except asyncio.CancelledError:
            if not self.idle.is_set():
                self._warn("not_acknowledged", "the newest state may not be stored", self._id)
            raise
        finally:
            self.idle.set()
            self.begun.set()
            if not self.done.done():
                self.done.set_result(outcome)

    async def _send_all(self) -> None:
        while (outgoing := self._queue.take()) is not None:
            self._sent += 1
            is_stored = await self._store(outgoing)
            if outgoing.is_end:
                raise _Finished((self._too_large or "stored") if is_stored else "lost")
            if self._queue.is_empty:
                self.idle.set()
            try:
                await asyncio.wait_for(self._is_flushed.wait(), self._interval)
            except asyncio.TimeoutError:
                pass

    async def _store(self, outgoing: OutgoingEvent) -> bool:
        """Whether it is stored; if not, it never will be. The same message is sent until that is known."""
        # An id must not be guessable from earlier ones.
        msg_id = f"{self._run_id}{self._sent}.{secrets.token_urlsafe(9)}"
        is_reduced = False
        pause = _RETRY_FIRST_SECONDS
        await self._stream.connected(self._on_refused)
        self._tried_at = asyncio.get_running_loop().time()
        while True:
            await self._stream.connected(self._on_refused)
            body = outgoing.body(self._next_send.attempt)
            headers = {**self._headers, **self._attributes(outgoing, msg_id)}
            match await self._stream.append(self._subject, body, msg_id, self._next_send.expected, headers):
                case Stored(seq, is_duplicate):
                    if is_duplicate and self._assumed_seq is not None and seq < self._assumed_seq:
                        raise _Finished(Superseded("newer_attempt", self._assumed_seq))
                    return self._on_stored(seq)
                case TooLarge(why):
                    self._warn("event_truncated", why, self._id)
                    if is_reduced:
                        return False
                    # Under the same id: no try can have stored an event that is too large.
                    outgoing, self._too_large = minimal_event(outgoing)
                    is_reduced = True
                    continue
                case Busy(why):
                    self._may_be_stored = True
                    self.problem = why
                    self._warn("retrying", why, self._id)
                case Denied(error):
                    # A denied publish never reached JetStream. But without a permitted inbox the event may be stored.
                    self._may_be_stored = self._may_be_stored or error.operation == "subscribe"
                    self._on_refused(error)
                    self._warn("not_permitted", str(error), self._id, error)
                case Conflict(last):
                    before = self._next_send
                    if await self._handle_conflict(outgoing, msg_id, last):
                        return True
                    if self._next_send.expected != before.expected:
                        continue
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(pause * 2, _RETRY_MAX_SECONDS)

    async def _handle_conflict(self, outgoing: OutgoingEvent, msg_id: str, reported_seq: int | None) -> bool:
        """Looks up the conflict. True if the message itself is stored; else ``_next_send`` says how to send it again."""
        has_begun = self.attempt is not None
        writer = Writer(
            run_id=self._run_id,
            msg_id=msg_id,
            attempt=self._next_send.attempt,
            percent=outgoing.progress,
            has_begun=has_begun,
            may_be_stored=self._may_be_stored,
            is_in_dedup_window=asyncio.get_running_loop().time() - self._tried_at < _DEDUP_WINDOW_SECONDS,
        )
        try:
            last = await lookup_conflict(
                self._stream, self._subject, reported_seq, self._next_send.expected, writer
            )
        except ReadError as error:
            self._on_read_failed(error, reported_seq)
            return False
        except HiddenError as hidden:
            self._on_read_failed(hidden.error, reported_seq, is_hidden=True)
            return False
        self._unanswered_reads = 0
        if has_begun or (last is not None and last.msg_id == msg_id):
            decision = resolve_conflict(last, writer)
        else:
            decision = resolve_start(last, self._requested, writer)
        match decision:
            case Stored(stored):
                return self._on_stored(stored)
            case Superseded():
                self.attempt = self.attempt or self._requested
                raise _Finished(decision)
            case Send(expected, attempt):
                # Another worker has this attempt, or a higher one. If the event may be stored before that worker's,
                # JetStream detects the duplicate, and the job belongs to the other worker.
                if not has_begun and self._may_be_stored and attempt != self._next_send.attempt:
                    self._assumed_seq = expected
                self._next_send = decision
                return False

    def _on_read_failed(self, error: ReadError, reported_seq: int | None, is_hidden: bool = False) -> None:
        """Who wrote the last event is unknown for now, or as long as it may not be read."""
        self._unanswered_reads = (
            self._unanswered_reads + 1 if error.is_forbidden and not error.is_certain else 0
        )
        self.problem = str(error)
        if not error.is_forbidden or 0 < self._unanswered_reads < _MAX_UNANSWERED_READS:
            self._warn("retrying", str(error), self._id)
        elif self.attempt is None or is_hidden:
            self._proceed_unread(error, reported_seq)
        elif not self._may_be_stored or reported_seq is None:
            # Every try was answered, so another worker wrote it.
            raise _Finished(Superseded("other_writer", reported_seq or 0))
        else:
            # Most likely it is ours. Under the same id JetStream detects the duplicate and stores nothing.
            self._next_send = Send(reported_seq, self.attempt)

    def _proceed_unread(self, read: ReadError, reported_seq: int | None) -> None:
        """A guess could overwrite a newer attempt, or write after a terminal event. A caller that names the attempt does
        not guess. A message that is no event takes the job from nobody, but it may hide one that does."""
        error = NotPermittedError(self._id, read.subjects, str(read))
        if self.attempt is not None:
            self._warn("not_permitted", f"{error}. Nothing is written until then", self._id, error)
        elif self._requested is None:
            message = f"{error}. Nothing is written until then, or give the attempt"
            self._warn("attempt_unknown", message, self._id, error)
        else:
            message = f"{error}. This is attempt {self._requested} whatever was before"
            self._warn("attempt_unknown", message, self._id, error)
            if reported_seq is not None:
                self._next_send = Send(reported_seq, self._requested)

    def _on_refused(self, error: HeadwayError) -> None:
        self.problem = str(error)
        self.refused.set()

    def _on_stored(self, seq: int) -> bool:
        self._may_be_stored = False
        self.problem = None
        self.refused.clear()
        self._assumed_seq = None
        self._next_send = Send(seq, self._next_send.attempt)
        self.attempt = self._next_send.attempt
        self.begun.set()
        return True

    def _attributes(self, outgoing: OutgoingEvent, msg_id: str) -> Mapping[str, str]:
        """CloudEvents in binary mode: the body stays as it is."""
        if self._ce_source is None:
            return {}
        return {
            "ce-specversion": "1.0",
            "ce-id": msg_id,
            "ce-source": self._ce_source,
            "ce-type": f"headway.progress.{outgoing.status}",
            "ce-subject": self._id,
            "ce-time": outgoing.timestamp,
            "ce-datacontenttype": "application/json",
        }
