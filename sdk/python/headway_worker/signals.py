"""When the process is asked to end."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
from typing import Any, Awaitable, Callable, Iterable

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def stop_on_signals(
    signals: Iterable[signal.Signals], stop: Callable[[signal.Signals], Awaitable[None]]
) -> Callable[[], None]:
    """Calls ``stop`` in the event loop at the first of the signals, and then gives the signal back to the process, which
    ends by it. Call it in the main thread. What it returns calls it off."""
    loop = asyncio.get_running_loop()
    requested = tuple(signals)
    before: dict[signal.Signals, Any] = {one: signal.getsignal(one) for one in requested}
    running: list[asyncio.Task[None]] = []

    def restore(one: signal.Signals, handler: Any) -> None:
        loop.remove_signal_handler(one)
        signal.signal(one, signal.SIG_DFL if handler is None else handler)

    def remove_handler() -> None:
        if not running:
            for one in requested:
                restore(one, before[one])

    async def stopped(one: signal.Signals) -> None:
        try:
            await stop(one)
        finally:
            # Whoever had it before gets it; without one the system ends the process.
            restore(one, before[one] if _is_somebodys(before[one]) else signal.SIG_DFL)
            os.kill(os.getpid(), one)

    def arrived(one: signal.Signals) -> None:
        if not running:
            running.append(asyncio.ensure_future(stopped(one)))

    for one in requested:
        loop.add_signal_handler(one, arrived, one)
    return remove_handler


def _is_somebodys(handler: Any) -> bool:
    """Whether the program itself listens. Python's own and asyncio's would interrupt what has ended already."""
    if isinstance(handler, functools.partial):
        handler = handler.func
    is_asyncios = getattr(handler, "__name__", "") == "_on_sigint"
    return callable(handler) and handler is not signal.default_int_handler and not is_asyncios
