"""What a reporter can do now: publish, be acknowledged, read. Nothing is stored for it."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Literal, Union

from .contract import MAX_SAFE_INTEGER, ValidationIssue, is_processing_id, subject_of
from .errors import InvalidEventError
from .fencing import Stored
from .jetstream import Busy, Conflict, Denied, JobStream, ReadError, Reply, TooLarge
from .jetstream_errors import Obstacle

CHECK_ID = "headway-check"
# How often it is looked whether a connection is there.
_POLL_SECONDS = 0.02

ProblemCode = Union[
    Literal[
        "disconnected",
        "connection_closed",
        "not_authorized",
        "not_permitted",
        "not_acknowledged",
        "not_readable",
    ],
    Obstacle,
]


@dataclass(frozen=True)
class CheckProblem:
    """Why a reporter cannot do its work. ``message`` is for people, and holds no credentials."""

    code: ProblemCode
    message: str


@dataclass(frozen=True)
class Check:
    """``connected``: NATS is there. ``can_publish``: a stream takes events of the job from these credentials.
    ``is_acknowledged``: answers of JetStream arrive here. ``can_read``: the job's last event can be read, which a second
    attempt has to know."""

    connected: bool
    can_publish: bool
    is_acknowledged: bool
    can_read: bool
    problems: tuple[CheckProblem, ...]

    @property
    def ok(self) -> bool:
        """It can do all of it."""
        return self.connected and self.can_publish and self.is_acknowledged and self.can_read


async def check_reporter(stream: JobStream, processing_id: str, seconds: float) -> Check:
    """Publishes what JetStream has to refuse, since no stream has a message of that sequence, and reads.

    :raises InvalidEventError: when the ``processing_id`` is none
    """
    if not is_processing_id(processing_id):
        raise InvalidEventError(ValidationIssue("/processing_id", "is no processing_id"))
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not stream.is_connected:
        if stream.is_closed:
            return _failed("connection_closed", "The connection to NATS was closed.")
        if stream.refusal is not None:
            return _failed("not_authorized", _sentence(str(stream.refusal)))
        if loop.time() >= deadline:
            return _failed("disconnected", f"{stream.unreachable}.")
        await asyncio.sleep(_POLL_SECONDS)
    subject = subject_of(processing_id)
    left = max(0.0, deadline - loop.time())
    probing = asyncio.ensure_future(
        stream.append(subject, b"", f"check.{secrets.token_urlsafe(16)}", MAX_SAFE_INTEGER, {})
    )
    reading = asyncio.ensure_future(_read(stream, subject))
    await asyncio.wait({probing, reading}, timeout=left)
    for task in (probing, reading):
        task.cancel()
    reply = probing.result() if probing.done() and not probing.cancelled() else None
    if not stream.is_connected:
        return _failed("disconnected", f"{stream.unreachable}.")
    late = f"no answer within {seconds * 1_000:g} ms"
    unread = reading.result() if reading.done() and not reading.cancelled() else ReadError(late)
    published = _with_cause(_problem_of(reply, late), unread)
    problems = [] if published is None else [published]
    # JetStream looks at the condition first, and only then whether there is room.
    if published is None and stream.obstacle is not None:
        kind, detail = stream.obstacle
        problems.append(CheckProblem(kind, _sentence(detail)))
    can_publish = not problems
    if unread is not None:
        problems.append(_read_problem(unread, published))
    is_acknowledged = reply is not None and not isinstance(reply, Denied)
    if isinstance(reply, Busy):
        is_acknowledged = reply.is_answered
    return Check(True, can_publish, is_acknowledged, unread is None, tuple(problems))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _failed(code: ProblemCode, message: str) -> Check:
    return Check(False, False, False, False, (CheckProblem(code, message),))


def _problem_of(reply: Reply | None, late: str) -> CheckProblem | None:
    match reply:
        case Stored() | Conflict():
            return None
        case Denied(error):
            return CheckProblem("not_permitted", _sentence(str(error)))
        case Busy(why, obstacle):
            return CheckProblem(obstacle or "not_acknowledged", _sentence(why))
        case TooLarge(why):
            return CheckProblem("not_acknowledged", _sentence(why))
        case None:
            return CheckProblem("not_acknowledged", f"JetStream gave {late}.")


def _with_cause(problem: CheckProblem | None, unread: ReadError | None) -> CheckProblem | None:
    """That nobody takes an event has two causes. The API of JetStream tells them apart, where it may be asked."""
    if problem is None or problem.code != "no_stream" or unread is None:
        return problem
    if unread.obstacle == "no_jetstream":
        return CheckProblem(unread.obstacle, _sentence(unread.detail))
    if unread.has_no_api:
        return CheckProblem("no_jetstream", "JetStream is not enabled, or this account does not import it.")
    return problem


async def _read(stream: JobStream, subject: str) -> ReadError | None:
    try:
        await stream.last(subject, 0)
        return None
    except ReadError as error:
        return error


def _read_problem(error: ReadError, published: CheckProblem | None) -> CheckProblem:
    subjects = " or ".join(error.subjects)
    unread = "A job's last event cannot be read"
    if error.inboxes is not None:
        why = f"there is no permission to subscribe to {error.inboxes}, so no answer arrives"
        return CheckProblem("not_permitted", f"{unread}: {why}.")
    if error.is_certain:
        may_not = "A job's last event may not be read: permit to publish to"
        return CheckProblem("not_permitted", f"{may_not} {subjects}.")
    if error.is_forbidden:
        missing = "there is no stream, " if published is not None and published.code == "no_stream" else ""
        why = f"{missing}JetStream is not enabled, or this account does not import it"
        return CheckProblem("not_readable", f"Nobody answers at {subjects}: {why}.")
    return CheckProblem("not_readable", f"{unread}: {error.detail}.")
