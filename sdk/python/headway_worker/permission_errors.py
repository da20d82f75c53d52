"""What NATS refuses on a connection. It says so to the connection, and not in answer to a request."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import Awaitable, Callable, Iterator

from nats.aio.client import Client

from .errors import NotPermittedError

ErrorCallback = Callable[[Exception], Awaitable[None]]


class InboxError(Exception):
    """NATS does not permit to subscribe to the inbox, so no answer will ever come."""

    def __init__(self, error: NotPermittedError) -> None:
        super().__init__(str(error))
        self.error = error


class PermissionErrors:
    """Stands before the error callback of a client, and passes everything on. The client itself keeps only its last error,
    so of two refusals that come together one would never be heard.
    """

    def __init__(self, nc: Client, inner: ErrorCallback) -> None:
        self._nc = nc
        self._inner = inner
        self._waiting: dict[asyncio.Future[None], str] = {}
        # After how many reconnections NATS refused the inbox. It says so once, when the client subscribes to it.
        self._inbox_denied_since: int | None = None
        self._record(nc.last_error)

    async def __call__(self, error: Exception) -> None:
        self._record(error)
        await self._inner(error)

    @contextmanager
    def watch(self, api: str) -> Iterator[asyncio.Future[None]]:
        """Gives what ends with an InboxError or a PermissionError when the inbox or a request to ``api`` is refused."""
        denied: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._inbox_denied_since == self._nc.stats["reconnects"]:
            denied.set_exception(self._inbox_error())
        self._waiting[denied] = api
        try:
            yield denied
        finally:
            del self._waiting[denied]
            # Whoever has another answer does not look at it.
            if denied.done():
                denied.exception()

    def _record(self, error: Exception | None) -> None:
        # The client has no other word for it, and writes it in small letters.
        text = str(error).lower()
        if "permissions violation" not in text:
            return
        if f'subscription to "{self._inbox().lower()}' in text:
            self._inbox_denied_since = self._nc.stats["reconnects"]
        for denied, api in self._waiting.items():
            if denied.done():
                continue
            if self._inbox_denied_since == self._nc.stats["reconnects"]:
                denied.set_exception(self._inbox_error())
            elif f'"{api.lower()}"' in text:
                denied.set_exception(PermissionError("NATS does not permit it"))

    def _inbox(self) -> str:
        # The client does not tell its prefix.
        return bytes(getattr(self._nc, "_inbox_prefix", b"_INBOX")).decode()

    def _inbox_error(self) -> InboxError:
        return InboxError(
            NotPermittedError(None, (f"{self._inbox()}.>",), "NATS does not permit it", "subscribe")
        )


def permission_errors_of(nc: Client) -> PermissionErrors:
    """Those of a client that is connected: one for each, however many reporters use it."""
    # There is no other way to hear of them on a connection that somebody else has made.
    callback: ErrorCallback = nc._error_cb
    if isinstance(callback, PermissionErrors):
        return callback
    errors = PermissionErrors(nc, callback)
    nc._error_cb = errors
    return errors
