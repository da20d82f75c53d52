"""The stream of events in JetStream: append behind a known sequence, and read a job's last event."""

from __future__ import annotations

import asyncio
import math
import re
from dataclasses import dataclass
from typing import Any, Callable, Coroutine, Mapping, Protocol, TypeVar, Union

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg

from .contract import SUBJECT_PREFIX, Valid, decode_event
from .errors import NotAuthorizedError, NotPermittedError
from .fencing import LastMessage, Stored
from .jetstream_errors import Obstacle, describe_error
from .options import Options
from .permission_errors import InboxError, permission_errors_of
from .warning import WarningLimiter

_WRONG_LAST_SEQUENCE = 10071
# Also while another message of the subject is on its way to the copies; it does not say which is the last.
_WRONG_LAST_SEQUENCE_IN_FLIGHT = 10164
_TOO_LARGE = (10053, 10054)
_NO_MESSAGE_FOUND = 10037
# How often the state of the connection is polled.
_POLL_SECONDS = 0.2

_T = TypeVar("_T")


class Connection(Protocol):
    """Where the stream is. ``nc`` may be another client after an outage."""

    @property
    def nc(self) -> Client: ...

    @property
    def is_closed(self) -> bool:
        """The connection is closed and will not come back."""

    @property
    def refusal(self) -> NotAuthorizedError | None:
        """NATS refuses the credentials, and it is tried again."""

    @property
    def unreachable(self) -> str:
        """Where and why NATS cannot be reached, for people, as far as is known. Holds no credentials."""


@dataclass(frozen=True)
class Conflict:
    """Something else stands where the message was to go, or it stands there itself already. ``last`` is the sequence of
    what stands there; None when that is not told."""

    last: int | None


@dataclass(frozen=True)
class Busy:
    """Not stored as far as is known. The same message may be sent again."""

    why: str
    obstacle: Obstacle | None = None
    is_answered: bool = False
    """JetStream said so, or nobody was there to hear it; else no answer came."""


@dataclass(frozen=True)
class TooLarge:
    """This message will never be stored."""

    why: str


@dataclass(frozen=True)
class Denied:
    """NATS does not permit it, or permits no answers. The same message may be sent again, but waiting does not help."""

    error: NotPermittedError


Reply = Union[Stored, Conflict, Busy, TooLarge, Denied]


class ReadError(Exception):
    """The last event cannot be read for now. ``is_forbidden``: this connection may not read, by none of ``subjects``; and
    ``is_certain``: NATS said so. Otherwise nobody was there to hear the question, which may also pass.

    ``detail``: what was said, alone; ``obstacle``: somebody has to look after it; ``inboxes``: NATS does not permit these,
    for answers; ``has_no_api``: nobody has the API that a stream's leader answers at.
    """

    def __init__(
        self,
        why: str,
        is_forbidden: bool = False,
        is_certain: bool = False,
        subjects: tuple[str, ...] = (),
        *,
        detail: str | None = None,
        obstacle: Obstacle | None = None,
        inboxes: str | None = None,
        has_no_api: bool = False,
    ) -> None:
        super().__init__(why)
        self.is_forbidden = is_forbidden
        self.is_certain = is_certain
        self.subjects = subjects
        self.detail = detail or why
        self.obstacle = obstacle
        self.inboxes = inboxes
        self.has_no_api = has_no_api


class ConnectionClosed(Exception):
    """The connection was closed for good."""


class JobStream:
    """One for all jobs of a reporter."""

    def __init__(self, connection: Connection, options: Options, warn: WarningLimiter) -> None:
        self._connection = connection
        self._stream = options.stream
        self._api_prefix = options.api_prefix
        self._timeout = options.ack_seconds
        self._in_flight = asyncio.Semaphore(options.max_in_flight)
        self._warn = warn
        self._was_disconnected = False
        self._is_leader_denied = False
        self.obstacle: tuple[Obstacle, str] | None = None
        """What kept JetStream from storing the event that it answered last, and the words for people; None: it was
        stored, or nothing is known."""

    @property
    def is_connected(self) -> bool:
        return self._connection.nc.is_connected

    @property
    def is_closed(self) -> bool:
        return self._connection.is_closed

    @property
    def refusal(self) -> NotAuthorizedError | None:
        return self._connection.refusal

    @property
    def unreachable(self) -> str:
        return self._connection.unreachable

    async def connected(self, denied: Callable[[NotAuthorizedError], None] = lambda _: None) -> None:
        """Returns when there is a connection.

        :param denied: called while NATS refuses the credentials
        :raises ConnectionClosed: when there never will be
        """
        while not self.is_connected:
            if self._connection.is_closed:
                raise ConnectionClosed
            refusal = self.refusal
            if refusal is not None:
                self._was_disconnected = True
                self._warn("not_authorized", str(refusal), None, refusal)
                denied(refusal)
            else:
                self._was_disconnected = True
                self._warn("disconnected", f"{self.unreachable}; states are kept until it is back")
            await asyncio.sleep(_POLL_SECONDS)
        if self._was_disconnected:
            self._was_disconnected = False
            self._warn("reconnected", "NATS can be reached again")

    async def append(
        self, subject: str, body: bytes, msg_id: str, expected: int, headers: Mapping[str, str]
    ) -> Reply:
        """Stores one message if the newest of its subject is ``expected`` (0: there is none). Never raises."""
        condition = {"Nats-Msg-Id": msg_id, "Nats-Expected-Last-Subject-Sequence": str(expected)}
        try:
            async with self._in_flight:
                ack = await self._request(
                    self._jetstream().publish(
                        subject, body, timeout=self._timeout, headers={**headers, **condition}
                    ),
                    subject,
                )
        except nats.js.errors.APIError as error:
            reply = _reply_of(error)
            if isinstance(reply, Busy) and reply.obstacle is not None:
                self.obstacle = reply.obstacle, reply.why
            return reply
        except InboxError as error:
            return Denied(error.error)
        except PermissionError as error:
            processing_id = subject.removeprefix(SUBJECT_PREFIX)
            return Denied(NotPermittedError(processing_id, (subject,), str(error), "publish"))
        except nats.js.errors.NoStreamResponseError as error:
            detail, obstacle = describe_error(error, self._has_jetstream)
            self.obstacle = None if obstacle is None else (obstacle, detail)
            return Busy(detail, obstacle, is_answered=True)
        except nats.errors.MaxPayloadError:
            return TooLarge(f"this NATS takes at most {self._connection.nc.max_payload} bytes")
        except Exception as error:  # noqa: BLE001 a reporter must outlive whatever a connection may raise
            return Busy(_describe(error))
        self.obstacle = None
        # A cluster answers a duplicate of what it has not stored yet with the sequence 0.
        return Stored(ack.seq, ack.duplicate is True) if ack.seq else Busy("the event is on its way")

    async def last(self, subject: str, at_least: int) -> LastMessage | None:
        """The newest message of a subject; None when there is none. From the stream's leader, or if that is
        denied, from any replica (which can be permitted for single jobs).

        :param at_least: a sequence that is known to be stored on the subject: an answer that is older is no answer
        :raises ReadError: when it cannot be had for now
        """
        newest = await self._newest(subject)
        seq = 0 if newest is None or newest.seq is None else newest.seq
        if seq < at_least:
            raise ReadError("the answer is older than what is stored")
        return None if newest is None else _last_of(seq, newest, subject)

    async def _newest(self, subject: str) -> RawStreamMsg | None:
        # The leader first. But each denied request is a line in the server's log.
        order = (True, False) if self._is_leader_denied else (False, True)
        denied: dict[bool, ReadError] = {}
        for from_replica in order:
            try:
                return await self._get(subject, from_replica=from_replica)
            except ReadError as error:
                denied[from_replica] = error
                if not from_replica:
                    self._is_leader_denied = error.is_forbidden
        leader, replica = denied[False], denied[True]
        raise ReadError(
            str(leader),
            leader.is_forbidden and replica.is_forbidden,
            leader.is_certain and replica.is_certain,
            (*replica.subjects, *leader.subjects),
            detail=leader.detail,
            obstacle=leader.obstacle,
            inboxes=leader.inboxes or replica.inboxes,
            has_no_api=leader.is_forbidden and not leader.is_certain,
        )

    async def range(self, subject: str, start: int, before: int, limit: int) -> list[LastMessage]:
        """The messages of a subject from the sequence ``start`` on, below ``before``, at most ``limit``, from the oldest
        to the newest.

        :raises ReadError: as ``last``
        """
        found: list[LastMessage] = []
        at = start
        while at < before and len(found) < limit:
            message = await self._get(subject, at)
            if message is None or message.seq is None or message.seq >= before:
                break
            found.append(_last_of(message.seq, message, subject))
            at = message.seq + 1
        return found

    async def _get(
        self, subject: str, at: int | None = None, from_replica: bool = False
    ) -> RawStreamMsg | None:
        """The newest message of a subject, or its first from ``at`` on."""
        asked = f"DIRECT.GET.{self._stream}.{subject}" if from_replica else f"STREAM.MSG.GET.{self._stream}"
        api = f"{self._api_prefix}.{asked}"
        try:
            async with self._in_flight:
                return await self._request(
                    self._jetstream().get_msg(self._stream, at, subject, from_replica, next=at is not None),
                    api,
                )
        except nats.js.errors.NotFoundError as error:
            # A copy answers without a number.
            if error.err_code in (_NO_MESSAGE_FOUND, None):
                return None
            detail, obstacle = describe_error(error)
            why = f"its last event cannot be read by {api}: {detail}"
            raise ReadError(why, detail=detail, obstacle=obstacle) from error
        except InboxError as error:
            why = f"its last event cannot be read by {api}: {error}"
            raise ReadError(why, inboxes=error.error.subjects[0]) from error
        except Exception as error:  # noqa: BLE001 as above
            # Nobody listens: most likely the account does not import the API, as the stream itself has just answered.
            is_nobody = isinstance(error, nats.errors.NoRespondersError) or (
                isinstance(error, nats.js.errors.ServiceUnavailableError) and error.code is None
            )
            is_certain = isinstance(error, PermissionError)
            why = f"its last event cannot be read by {api}: {_describe(error)}"
            obstacle = describe_error(error)[1] if isinstance(error, nats.js.errors.APIError) else None
            raise ReadError(
                why, is_nobody or is_certain, is_certain, (api,), detail=_describe(error), obstacle=obstacle
            ) from error

    async def _request(self, request: Coroutine[Any, Any, _T], api: str) -> _T:
        """What the request gives, for as long as the connection stands that it went out on.

        :raises PermissionError: when NATS does not permit to publish to ``api``
        :raises InboxError: when it does not permit to subscribe to the inbox for answers
        """
        nc = self._connection.nc
        reconnects = nc.stats["reconnects"]
        task = asyncio.ensure_future(request)
        # Nobody may ask for it any more.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            # The client's own timeout does not cover its writing to a connection that takes nothing.
            with permission_errors_of(nc).watch(api) as denied:
                ways: tuple[asyncio.Future[Any], ...] = (task, denied)
                for _ in range(math.ceil(2 * self._timeout / _POLL_SECONDS)):
                    await asyncio.wait(ways, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                    if task.done():
                        return task.result()
                    if not nc.is_connected or nc.stats["reconnects"] != reconnects:
                        raise ConnectionError("the connection was cut")
                    if denied.done():
                        denied.result()
            raise asyncio.TimeoutError
        finally:
            task.cancel()

    @property
    def _has_jetstream(self) -> bool:
        # A server says so in its greeting, by leaving it out. The client does not pass it on.
        greeting: Mapping[str, Any] = getattr(self._connection.nc, "_server_info", {"jetstream": True})
        return greeting.get("jetstream") is True

    def _jetstream(self) -> JetStreamContext:
        return self._connection.nc.jetstream(prefix=self._api_prefix, timeout=self._timeout)


def _last_of(seq: int, message: RawStreamMsg, subject: str) -> LastMessage:
    decoded = decode_event(subject, message.data or b"")
    event = decoded.event if isinstance(decoded, Valid) else None
    headers = message.headers or {}
    condition = headers.get("Nats-Expected-Last-Subject-Sequence", "")
    # Digits are what JetStream takes for a condition; anything else it refuses.
    expected = int(condition) if condition.isascii() and condition.isdigit() else None
    return LastMessage(seq, event, headers.get("Nats-Msg-Id"), expected)


def _reply_of(error: nats.js.errors.APIError) -> Reply:
    if error.err_code == _WRONG_LAST_SEQUENCE:
        digits = re.search(r"(\d+)\s*$", error.description or "")
        return Conflict(None if digits is None else int(digits[1]))
    if error.err_code == _WRONG_LAST_SEQUENCE_IN_FLIGHT:
        return Conflict(None)
    if error.err_code in _TOO_LARGE:
        return TooLarge(_describe(error))
    return Busy(*describe_error(error), is_answered=True)


def _describe(error: Exception) -> str:
    match error:
        case nats.js.errors.NoStreamResponseError() | nats.js.errors.APIError():
            return describe_error(error)[0]
        case asyncio.TimeoutError() | nats.errors.TimeoutError():
            return "no answer in time"
        case _:
            return str(error) or type(error).__name__
