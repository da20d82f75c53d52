"""Where jobs come from: one reporter for each process, over one connection to NATS."""

from __future__ import annotations

import asyncio
import inspect
import re
import signal
from types import TracebackType
from typing import Any, Awaitable, Callable, Iterable, Mapping, TypeVar

from nats.aio.client import Client

from .check import CHECK_ID, Check, check_reporter
from .connection import GivenConnection, OwnConnection
from .contract import ALIVE_PREFIX, ValidationIssue
from .errors import InvalidEventError, InvalidOptionError
from .event_delivery import EventDelivery
from .jetstream import Connection, JobStream
from .job import Job
from .options import Options
from .settings import DEFAULT_SERVER, check_number, connection_settings
from .signals import STOP_SIGNALS, stop_on_signals
from .state import JobState
from .warning import WarningLimiter, logger

# W3C Trace Context, version 00; later versions may have more behind it.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?"
)
# More often they would take all the time there is, and an edge does not look as often.
_MIN_HEARTBEAT_SECONDS = 0.05
# How often the event loop turns until a block has ended: some layers of waiting inside of it.
_LOOP_TURNS = 100
_T = TypeVar("_T")


class Reporter:
    """Reports jobs over a connection that is given, and is left open. Make it in the event loop that the connection is
    in. :func:`connect_reporter` makes the connection, too."""

    def __init__(self, nc: Client, options: Options = Options()) -> None:
        """:raises InvalidOptionError: when ``nc`` is no connection of nats-py"""
        if not isinstance(nc, Client):
            raise InvalidOptionError("nc", f"is {type(nc).__name__}; expected a connection of nats-py")
        _check_options(options)
        self._set_up(GivenConnection(nc), options, WarningLimiter(options))

    def _set_up(self, connection: Connection, options: Options, warn: WarningLimiter) -> None:
        self.options = options
        self.warn = warn
        self._connection = connection
        self._stream = JobStream(connection, options, warn)
        self._deliveries: dict[EventDelivery, asyncio.Task[None]] = {}
        self._heartbeats: dict[Job, asyncio.Task[None]] = {}
        self._jobs: set[Job] = set()
        self._cleanups: list[Callable[[], None]] = []
        self._is_closed = False

    @property
    def is_connected(self) -> bool:
        """Whether NATS is there. Jobs run without it, too."""
        return self._stream.is_connected

    @property
    def unreachable(self) -> str:
        """Where and why NATS cannot be reached, for people. Holds no credentials."""
        return self._stream.unreachable

    def job(
        self,
        processing_id: str,
        *,
        job_type: str | None = None,
        total: float | None = None,
        attempt: int | None = None,
        message: str | None = None,
        stall_after_seconds: float | None = None,
        timeout_seconds: float | None = None,
        traceparent: str | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> Job:
        """One run of a job, for ``async with``.

        :param attempt: higher than the job's last; without it, the one after the last. So a job that is
            started again belongs to the new run, and a worker that still runs it loses it
        :param traceparent: W3C Trace Context; becomes a header of each event
        :param fields: your own fields, any JSON, in each event
        :raises InvalidEventError: when something does not fit the event contract
        :raises EventTooLargeError: when the fields alone are larger than 64 KiB
        """
        if traceparent is not None and not _TRACEPARENT.fullmatch(traceparent):
            raise InvalidEventError(
                ValidationIssue("/traceparent", "is not a traceparent as in W3C Trace Context")
            )
        initial = {
            "processing_id": processing_id,
            "job_type": job_type,
            "total": total,
            "message": message,
            "stall_after_seconds": stall_after_seconds,
            "timeout_seconds": timeout_seconds,
        }
        has_warned: list[str] = []

        def on_unknown(problem: str) -> None:
            if not has_warned:
                has_warned.append(problem)
                self.warn("bad_value", f"{problem}. This warning comes once for each job", processing_id)

        state = JobState(initial, attempt, self.options.clock(), fields, self.options.encoder, on_unknown)
        # At least three in the time after which silence is a stall or a failure.
        patience = min(seconds for seconds in (stall_after_seconds, timeout_seconds, float("inf")) if seconds)
        heartbeat = min(self.options.heartbeat_seconds, max(patience / 3, _MIN_HEARTBEAT_SECONDS))
        headers = {} if traceparent is None else {"traceparent": traceparent}
        return Job(processing_id, attempt, heartbeat, headers, state, self)

    async def run(self, processing_id: str, work: Callable[[Job], Awaitable[_T] | _T], **settings: Any) -> _T:
        """Runs ``work`` as a job, which is completed with what it returns (None: without a result). A plain function runs
        in a thread, since one that works holds up the event loop, and with it the heartbeats.
        ``settings`` are those of :meth:`job`."""
        async with self.job(processing_id, **settings) as job:
            given = work(job) if _is_asynchronous(work) else await asyncio.to_thread(work, job)
            # A lambda may give what has to be waited for.
            result: _T = await given if inspect.isawaitable(given) else given
            if not job.has_ended and result is not None:
                await job.complete(result)
            return result

    async def check(self, processing_id: str = CHECK_ID, seconds: float = 2) -> Check:
        """Checks within two seconds whether this reporter can publish, get acknowledgements and read, and if not, why.
        Stores nothing. JetStream reports a full store for real events only, so the check knows of it after one.

        :param processing_id: a job that these credentials may report
        :param seconds: how long the check may take
        :raises InvalidEventError: when the ``processing_id`` is none
        :raises InvalidOptionError: when ``seconds`` is no number from 0 on
        """
        check_number("seconds", seconds, 0)
        return await check_reporter(self._stream, processing_id, seconds)

    async def stop(self, why: str = "its reporter was stopped") -> None:
        """Cancels the tasks whose jobs still run, which fails these jobs as retryable and with the code ``cancelled``, and
        closes the reporter. ``why`` goes into the message of the error."""
        # A block in another is in the same task, which is cancelled once.
        tasks = {job.about_to_stop(why) for job in self._jobs} - {None, asyncio.current_task()}
        for task in tasks:
            if task is not None:
                task.cancel()
        # The blocks end when their tasks run: then their ends are what is pending.
        await _run_pending_callbacks()
        await self.close()
        cancelled = [task for task in tasks if task is not None]
        if cancelled:
            # What they clean up behind their blocks.
            await asyncio.wait(cancelled, timeout=self.options.close_seconds)

    def close_on_signals(self, signals: Iterable[signal.Signals] = STOP_SIGNALS) -> Callable[[], None]:
        """Stops the reporter when the process is asked to end, and then lets it end by that signal. Call it in the main
        thread, in the event loop. What it returns calls it off.

        :param signals: SIGTERM and SIGINT, unless given
        """
        remove_handler = stop_on_signals(signals, lambda one: self.stop(one.name))
        self._cleanups.append(remove_handler)
        return remove_handler

    async def close(self) -> None:
        """Waits until everything is stored that was reported, at the most ``close_seconds``, and stops. What is not
        stored by then is a warning ``not_acknowledged``. Jobs that still run are left open."""
        self._is_closed = True
        while self._cleanups:
            self._cleanups.pop()()
        for heartbeat_task in self._heartbeats.values():
            heartbeat_task.cancel()
        for delivery in self._deliveries:
            delivery.flush()
        deadline = asyncio.get_running_loop().time() + self.options.close_seconds
        while busy := [delivery for delivery in self._deliveries if not delivery.idle.is_set()]:
            idle = [asyncio.ensure_future(delivery.idle.wait()) for delivery in busy]
            left = max(0.0, deadline - asyncio.get_running_loop().time())
            _, late = await asyncio.wait(idle, timeout=left)
            for waiting in late:
                waiting.cancel()
            if late:
                break
            # A block around one that has ended queues its own end only now.
            await _run_pending_callbacks()
        while self._deliveries:
            # Again and again: the client swallows a cancellation that comes while it writes.
            for task in self._deliveries.values():
                task.cancel()
            await asyncio.wait(list(self._deliveries.values()), timeout=0.5)

    async def __aenter__(self) -> Reporter:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- for jobs: the protocol Host

    def start_delivery(self, job: Job) -> EventDelivery:
        if self._is_closed:
            raise RuntimeError("the reporter is closed")
        options = self.options
        interval = 1 / options.max_updates_per_second
        delivery = EventDelivery(
            job.processing_id,
            job.requested_attempt,
            job.headers,
            options.ce_source,
            interval,
            self._stream,
            self.warn,
        )
        loop = asyncio.get_running_loop()
        self._jobs.add(job)
        task = loop.create_task(delivery.run())
        self._deliveries[delivery] = task
        task.add_done_callback(lambda done: self._on_delivery_done(delivery, done))
        if job.heartbeat_seconds > 0:
            self._heartbeats[job] = loop.create_task(self._send_heartbeats(job))
        return delivery

    def on_exit(self, job: Job, delivery: EventDelivery) -> None:
        self._jobs.discard(job)
        if (heartbeat_task := self._heartbeats.pop(job, None)) is not None:
            heartbeat_task.cancel()
        if not job.has_ended and (task := self._deliveries.get(delivery)) is not None:
            task.cancel()

    def _on_delivery_done(self, delivery: EventDelivery, task: asyncio.Task[None]) -> None:
        del self._deliveries[delivery]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the reporter has a defect", exc_info=error)

    async def _send_heartbeats(self, job: Job) -> None:
        """Heartbeats, which are never stored."""
        while not job.superseded.is_set():
            await asyncio.sleep(job.heartbeat_seconds)
            if job.has_ended:
                return
            if not self.is_connected or job.attempt is None:
                continue
            try:
                body = b'{"attempt":%d}' % job.attempt
                await asyncio.wait_for(self._connection.nc.publish(ALIVE_PREFIX + job.processing_id, body), 1)
            except Exception as error:  # noqa: BLE001 the next one comes by itself
                logger.debug("no heartbeat: %s", error)


def _check_options(options: object) -> None:
    if not isinstance(options, Options):
        raise InvalidOptionError("options", f"is {type(options).__name__}; expected Options(...)")


async def _run_pending_callbacks() -> None:
    """Lets everything run that can."""
    for _ in range(_LOOP_TURNS):
        await asyncio.sleep(0)


def _is_asynchronous(work: object) -> bool:
    return inspect.iscoroutinefunction(work) or inspect.iscoroutinefunction(getattr(work, "__call__", None))


class connect_reporter(Reporter):  # noqa: N801 it is used as a function
    """``async with connect_reporter(servers="nats://127.0.0.1:4222") as reporter:``

    :param servers: where NATS is: one address or several, in a list or with commas between them
    :param wait_seconds: how long the first connection is waited for; without one the reporter works, too, and sends
        what was reported when there is one
    :raises InvalidOptionError: when an address or a setting does not fit
    :param nats: more settings of ``nats.connect``: ``user_credentials``, ``user``, ``password``, ``tls``,
        ``inbox_prefix`` and so on
    """

    def __init__(
        self,
        servers: str | list[str] = DEFAULT_SERVER,
        options: Options = Options(),
        *,
        wait_seconds: float = 2,
        **nats: Any,
    ) -> None:
        _check_options(options)
        check_number("wait_seconds", wait_seconds, 0)
        warn = WarningLimiter(options)
        self._own = OwnConnection(connection_settings(servers, nats), warn)
        self._wait_seconds = wait_seconds
        self._set_up(self._own, options, warn)

    async def __aenter__(self) -> Reporter:
        await self._own.open(self._wait_seconds)
        return self

    async def close(self) -> None:
        """As :meth:`Reporter.close`, and closes the connection."""
        await super().close()
        await self._own.close()
