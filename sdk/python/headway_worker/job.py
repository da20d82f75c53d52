"""One job, as its worker sees it."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from types import TracebackType
from typing import Any, Callable, Mapping, Protocol, Sequence

from .errors import EventTooLargeError, InvalidEventError, JobEndedError, SupersededError
from .event_delivery import DeliveryOutcome, EventDelivery
from .failure import Failure, failure_of
from .fencing import Superseded
from .options import Options
from .send_queue import OutgoingEvent
from .state import UNSET, JobState, Step
from .warning import WarningLimiter


class JobHost(Protocol):
    """What a job needs of its reporter."""

    options: Options
    warn: WarningLimiter

    @property
    def is_connected(self) -> bool: ...

    @property
    def unreachable(self) -> str: ...

    def start_delivery(self, job: Job) -> EventDelivery:
        """Starts delivering the job's events, and its heartbeats."""

    def on_exit(self, job: Job, delivery: EventDelivery) -> None:
        """The block is over: no more heartbeats. What is queued is still sent."""


class Job:
    """Made by :meth:`Reporter.job`; use it with ``async with``, once.

    At the end of the block the job is completed, or failed with the exception that ended it, which is raised again.
    A cancelled block fails the job as retryable. What ends the program (``SystemExit``) writes nothing.

    Entering the block raises :class:`SupersededError` when the job is over, or has a higher attempt than was asked for.
    """

    def __init__(
        self,
        processing_id: str,
        attempt: int | None,
        heartbeat_seconds: float,
        headers: Mapping[str, str],
        state: JobState,
        host: JobHost,
    ) -> None:
        self.processing_id = processing_id
        self.requested_attempt = attempt
        self.heartbeat_seconds = heartbeat_seconds
        self.headers = headers
        self.superseded = asyncio.Event()
        """Set when this worker has lost the job: stop the work."""
        self._host = host
        self._state = state
        self._lock = threading.Lock()
        self._thread = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._delivery: EventDelivery | None = None
        self._lost_to: Superseded | None = None
        self._has_ended = False
        self._task: asyncio.Task[Any] | None = None
        self._stopped = ""

    @property
    def attempt(self) -> int | None:
        """Which attempt this is; None until its first event is stored."""
        return None if self._delivery is None else self._delivery.attempt

    @property
    def has_ended(self) -> bool:
        """It was completed or failed; later reports are left out."""
        return self._has_ended

    def report(
        self,
        *,
        current: float | None = None,
        total: float | None = None,
        progress: float | None = None,
        message: str | None = None,
        step: Step | str | None = None,
        indeterminate: bool | None = None,
        eta_seconds: float | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Reports the progress, and returns at once. From any thread. What you leave out stays as it was.

        :param current: of ``total``, in whatever the job counts in; gives the percent unless ``progress`` is given
        :param progress: percent. It never falls, and stays below 100 until the job is completed
        :param message: for people; what is too long is shortened
        :param eta_seconds: the seconds left; without it they are estimated where the rate is steady
        :param fields: your own fields, any JSON, kept in every event from then on; None takes one out
        :raises SupersededError: when another worker has the job, or it is over
        :raises InvalidEventError: when something does not fit the event contract
        :raises EventTooLargeError: when the event would be larger than 64 KiB
        """
        with self._lock:
            loop = self._running()
            if not self._has_ended:
                self._state.report(
                    self._host.options.clock(),
                    current=current,
                    total=total,
                    progress=progress,
                    message=message,
                    step=step,
                    indeterminate=indeterminate,
                    eta_seconds=eta_seconds,
                    fields=fields,
                )
        is_over = self._delivery is not None and self._delivery.done.done()
        todo = self._warn_update_after_end if self._has_ended or is_over else self._enqueue
        if threading.get_ident() == self._thread:
            todo()
        else:
            loop.call_soon_threadsafe(todo)

    async def complete(self, result: Any = UNSET) -> bool:
        """The end. ``result`` is any JSON.

        :returns: True when it is stored. False when it cannot be, since the reporter or its connection is closed or NATS
            does not take it; or when ``end_seconds`` are over: the reporter goes on trying until it is closed
        :raises JobEndedError: when the job has its end already
        :raises SupersededError, InvalidEventError, EventTooLargeError: as ``report``
        """
        options = self._host.options
        return await self._end(lambda: self._state.complete(options.clock(), result), options.end_seconds)

    async def fail(
        self,
        error: BaseException | str,
        *,
        code: str | None = None,
        retryable: bool | None = None,
        details: Any = None,
    ) -> bool:
        """The end of this attempt, and of the job unless it is ``retryable``. Returns and raises as ``complete``."""
        options = self._host.options
        failure = self._failure(error)
        failure = replace(
            failure,
            code=failure.code if code is None else code,
            retryable=failure.retryable if retryable is None else retryable,
            details=failure.details if details is None else details,
        )
        return await self._end(lambda: self._state.fail(options.clock(), failure), options.end_seconds)

    async def __aenter__(self) -> Job:
        if self._delivery is not None:
            raise RuntimeError(f"the job {self.processing_id} was started before; make another")
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._thread = threading.get_ident()
        self._delivery = delivery = self._host.start_delivery(self)
        delivery.done.add_done_callback(self._on_done)
        self._enqueue()
        try:
            if self._host.is_connected:
                begun = asyncio.ensure_future(delivery.begun.wait())
                await asyncio.wait({begun}, timeout=self._host.options.start_seconds)
                begun.cancel()
            if delivery.done.done() and isinstance(delivery.done.result(), Superseded):
                raise self._superseded_by(delivery.done.result())
        except asyncio.CancelledError as error:
            # Its first event may be stored all the same.
            await self._fail_safely(error)
            self._host.on_exit(self, delivery)
            raise
        except BaseException:
            self._host.on_exit(self, delivery)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._has_ended:
                return
            if error is None:
                await self.complete()
            elif isinstance(error, (Exception, asyncio.CancelledError)) and self._lost_to is None:
                await self._fail_safely(error)
        finally:
            if self._delivery is not None:
                self._host.on_exit(self, self._delivery)

    def about_to_stop(self, why: str) -> asyncio.Task[Any] | None:
        """The task that runs the block, for the reporter to cancel. ``why`` goes into the error of the job."""
        self._stopped = why
        return None if self._has_ended else self._task

    async def _fail_safely(self, error: BaseException) -> None:
        """Nothing that happens here may hide the error that ended the job."""
        if self._stopped and isinstance(error, asyncio.CancelledError):
            error = asyncio.CancelledError(f"The worker was stopped ({self._stopped}).")
        try:
            options = self._host.options
            # A cancelled task must end soon.
            wait = options.close_seconds if isinstance(error, asyncio.CancelledError) else options.end_seconds
            problems: list[str] = []
            await self._end(lambda: self._fit_failure(self._failure(error), problems), wait, problems)
        except SupersededError:
            pass

    def _fit_failure(self, failure: Failure, problems: list[str]) -> OutgoingEvent:
        """What a job failed with, or as much of it as can be sent, with the reasons in ``problems``."""
        at = self._host.options.clock()
        for less in (failure, replace(failure, details=None), replace(failure, details=None, stack=None)):
            try:
                return self._state.fail(at, less)
            except (InvalidEventError, EventTooLargeError) as problem:
                problems.append(f"its error cannot be sent as it is: {problem}")
        return self._state.fail_minimal(at, failure)

    def _failure(self, error: BaseException | str) -> Failure:
        return failure_of(error, self._host.options.include_stack)

    async def _end(
        self, make: Callable[[], OutgoingEvent], wait_seconds: float | None, problems: Sequence[str] = ()
    ) -> bool:
        """``problems`` with the event become warnings when it has been built."""
        with self._lock:
            self._running()
            if self._has_ended:
                raise JobEndedError(self.processing_id)
            make()
            self._has_ended = True
        assert self._delivery is not None
        self._enqueue()
        # Not before: the callback may report, too.
        for problem in problems:
            self._host.warn("event_truncated", problem, self.processing_id)
        await self._wait(self._delivery, wait_seconds)
        if not self._delivery.done.done():
            why = self._delivery.problem or ("" if self._host.is_connected else self._host.unreachable)
            message = f"its end is not stored yet{why and f' ({why})'}, and is tried again"
            self._host.warn("not_acknowledged", message, self.processing_id)
            return False
        outcome = self._delivery.done.result()
        if isinstance(outcome, Superseded):
            raise self._superseded_by(outcome)
        if isinstance(outcome, EventTooLargeError):
            raise outcome
        if outcome == "lost":
            # A block that ends returns nothing that would say so.
            self._host.warn(
                "not_acknowledged",
                "its end is not stored, and will not be: its reporter or its connection is closed, or NATS refused it",
                self.processing_id,
            )
        return outcome == "stored"

    async def _wait(self, delivery: EventDelivery, seconds: float | None) -> None:
        """Until the job has its end; but not for long where waiting does not help."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        refused = asyncio.ensure_future(delivery.refused.wait())
        either: set[asyncio.Future[Any]] = {delivery.done, refused}
        try:
            await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            refused.cancel()
        if delivery.done.done():
            return
        close_seconds = self._host.options.close_seconds
        left = close_seconds if seconds is None else min(close_seconds, began + seconds - loop.time())
        if left > 0:
            await asyncio.wait({delivery.done}, timeout=left)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError('a job reports inside of "async with reporter.job(...) as job:"')
        if self._lost_to is not None:
            raise self._superseded_by(self._lost_to)
        return self._loop

    def _enqueue(self) -> None:
        # The newest state, not that of the call: calls from other threads may come here late.
        if self._delivery is not None and not self._delivery.done.done():
            self._delivery.enqueue(self._state.outgoing)

    def _warn_update_after_end(self) -> None:
        after = "its end" if self._has_ended else "its reporter or its connection was closed"
        self._host.warn(
            "update_after_end", f"a report came after {after}, and was left out", self.processing_id
        )

    def _on_done(self, done: asyncio.Future[DeliveryOutcome]) -> None:
        outcome = done.result()
        if isinstance(outcome, Superseded):
            self._lost_to = outcome
            self.superseded.set()
            self._host.warn("superseded", str(self._superseded_by(outcome)), self.processing_id)

    def _superseded_by(self, outcome: DeliveryOutcome) -> SupersededError:
        assert isinstance(outcome, Superseded)
        return SupersededError(self.processing_id, self.attempt, outcome.reason, outcome.seq)
