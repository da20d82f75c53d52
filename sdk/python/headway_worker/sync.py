"""The reporter for programs without asyncio: Celery, RQ, Dramatiq, threads, plain scripts.

reporter = connect_reporter("nats://127.0.0.1:4222")

with reporter.job("3f6c2a1e", job_type="pdf.words", total=14) as job:
    for page in range(14):
        job.report(current=page + 1)

Make one for each program, at the top of a module. It has an event loop in a thread of its own, which starts with the first
job: so a worker that forks has one in each process.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from types import TracebackType
from typing import Any, Callable, Coroutine, Mapping, TypeVar

from . import job as asynchronous
from .check import CHECK_ID, Check
from .options import Options
from .reporter import connect_reporter as connect
from .state import UNSET, Step

_T = TypeVar("_T")

# Reporters that are not closed, even if the program has no reference to them.
_reporters: set[Reporter] = set()
# References of a forked process to its parent's event loops. Garbage collection would close their sockets.
_inherited: list[object] = []


class _Thread:
    """An event loop in a thread, and a reporter in it."""

    def __init__(self, make: Callable[[], connect]) -> None:
        self.loop = asyncio.new_event_loop()
        # A daemon thread, so that a program that forgets to close does not hang at its end.
        self.thread = threading.Thread(target=self._run, name="headway-worker", daemon=True)
        self.thread.start()
        try:
            self.reporter = self.call(self._open(make))
        except BaseException:
            self.end()
            raise

    def call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Runs it in the loop, and waits for what it gives."""
        if threading.current_thread() is self.thread:
            coroutine.close()
            raise RuntimeError("on_warning runs in the reporter's own thread, which cannot wait for itself")
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    @staticmethod
    async def _open(make: Callable[[], connect]) -> connect:
        reporter = make()
        await reporter.__aenter__()
        return reporter


class Job:
    """Made by :meth:`Reporter.job`; use it with ``with``, once, in the process that made it. From any thread.

    At the end of the block the job is completed, or failed with the exception that ended it, which is raised again.
    KeyboardInterrupt and SystemExit fail it as retryable: the process ends, and not the work.
    """

    def __init__(self, thread: _Thread, job: asynchronous.Job) -> None:
        self._thread = thread
        self._job = job
        self._pid = os.getpid()

    @property
    def processing_id(self) -> str:
        return self._job.processing_id

    @property
    def attempt(self) -> int | None:
        """Which attempt this is; None until its first event is stored."""
        return self._job.attempt

    @property
    def has_ended(self) -> bool:
        """It was completed or failed; later reports are left out."""
        return self._job.has_ended

    @property
    def is_superseded(self) -> bool:
        """This worker has lost the job: stop the work. The next report raises :class:`SupersededError`."""
        return self._job.superseded.is_set()

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
        """As :meth:`headway_worker.Job.report`. Returns at once."""
        self._check_process()
        self._job.report(
            current=current,
            total=total,
            progress=progress,
            message=message,
            step=step,
            indeterminate=indeterminate,
            eta_seconds=eta_seconds,
            fields=fields,
        )

    def complete(self, result: Any = UNSET) -> bool:
        """As :meth:`headway_worker.Job.complete`."""
        self._check_process()
        return self._thread.call(self._job.complete(result))

    def fail(
        self,
        error: BaseException | str,
        *,
        code: str | None = None,
        retryable: bool | None = None,
        details: Any = None,
    ) -> bool:
        """As :meth:`headway_worker.Job.fail`."""
        self._check_process()
        return self._thread.call(self._job.fail(error, code=code, retryable=retryable, details=details))

    def __enter__(self) -> Job:
        self._check_process()
        self._thread.call(self._job.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A child that was forked in the block leaves it, too; the job is its parent's.
        if os.getpid() != self._pid:
            return
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            stopped = asyncio.CancelledError(f"The worker was stopped ({type(error).__name__}).")
            kind, error = type(stopped), stopped
        self._thread.call(self._job.__aexit__(kind, error, trace))

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError(
                f"the job {self.processing_id} is of the process that began it, not of its child"
            )


class Reporter:
    """Reports jobs, from any thread. Made by :func:`connect_reporter`."""

    def __init__(self, make: Callable[[], connect]) -> None:
        make()
        self._make = make
        self._lock = threading.Lock()
        self._thread: _Thread | None = None
        self._is_closed = False
        _reporters.add(self)

    @property
    def is_connected(self) -> bool:
        """Whether NATS is there. Jobs run without it, too."""
        thread = self._thread
        return thread is not None and thread.reporter.is_connected

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
        """As :meth:`headway_worker.Reporter.job`, for ``with``. The first one connects, and waits for that a little."""
        thread = self._running()
        job = thread.reporter.job(
            processing_id,
            job_type=job_type,
            total=total,
            attempt=attempt,
            message=message,
            stall_after_seconds=stall_after_seconds,
            timeout_seconds=timeout_seconds,
            traceparent=traceparent,
            fields=fields,
        )
        return Job(thread, job)

    def run(self, processing_id: str, work: Callable[[Job], _T], **settings: Any) -> _T:
        """Runs ``work`` as a job, which is completed with what it returns (None: without a result).
        ``settings`` are those of :meth:`job`."""
        with self.job(processing_id, **settings) as job:
            result = work(job)
            if not job.has_ended and result is not None:
                job.complete(result)
            return result

    def check(self, processing_id: str = CHECK_ID, seconds: float = 2) -> Check:
        """As :meth:`headway_worker.Reporter.check`."""
        thread = self._running()
        return thread.call(thread.reporter.check(processing_id, seconds))

    def close(self) -> None:
        """Waits until everything is stored that was reported, at the most ``close_seconds``, and stops. Called by itself
        at the end of the program."""
        with self._lock:
            self._is_closed = True
            _reporters.discard(self)
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.call(thread.reporter.close())
            thread.end()

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _running(self) -> _Thread:
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the reporter is closed")
            if self._thread is None:
                self._thread = _Thread(self._make)
            return self._thread

    def _reset_after_fork(self) -> None:
        """In a child: the thread is its parent's, and the lock may be held by one that is not there."""
        _inherited.append(self._thread)
        self._lock = threading.Lock()
        self._thread = None


def connect_reporter(
    servers: str | list[str] = "nats://127.0.0.1:4222",
    options: Options = Options(),
    *,
    wait_seconds: float = 2,
    **nats: Any,
) -> Reporter:
    """A reporter that connects with its first job. The parameters are those of :func:`headway_worker.connect_reporter`;
    ``options.on_warning`` is called in the reporter's own thread.

    :raises InvalidOptionError: when an address or a setting does not fit
    """
    return Reporter(lambda: connect(servers, options, wait_seconds=wait_seconds, **nats))


def _after_fork() -> None:
    for reporter in list(_reporters):
        reporter._reset_after_fork()


def _at_exit() -> None:
    for reporter in list(_reporters):
        reporter.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
