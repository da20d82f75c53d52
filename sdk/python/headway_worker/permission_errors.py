"""Permission errors of a connection. NATS sends them to the connection, not as the reply to a request."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import Awaitable, Callable, Iterator

from nats.aio.client import Client

from .errors import NotPermittedError

ErrorCallback = Callable[[Exception], Awaitable[None]]


class InboxError(Exception):
    """NATS does not permit the subscription to the inbox, so no reply will ever arrive."""

    def __init__(self, error: NotPermittedError) -> None:
        super().__init__(str(error))
        self.error = error


class PermissionErrors:
    """Wraps the error callback of a client, and passes everything on. The client keeps only its last error, so of two
    errors at the same time one would be lost.
    """

    def __init__(self, nc: Client, inner: ErrorCallback) -> None:
        self._nc = nc
        self._inner = inner
        self._waiting: dict[asyncio.Future[None], str] = {}
        # The count of reconnects at which NATS denied the inbox. It does so once, when the client subscribes.
        self._inbox_denied_since: int | None = None
        self._record(nc.last_error)

    async def __call__(self, error: Exception) -> None:
        self._record(error)
        await self._inner(error)

    @contextmanager
    def watch(self, api: str) -> Iterator[asyncio.Future[None]]:
        """Yields a future that fails with an InboxError or a PermissionError if the inbox or a request to ``api`` is denied."""
        denied: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._inbox_denied_since == self._nc.stats["reconnects"]:
            denied.set_exception(self._inbox_error())
        self._waiting[denied] = api
        try:
            yield denied
        finally:
            del self._waiting[denied]
            # Nobody may await it: mark its exception as retrieved.
            if denied.done():
                denied.exception()

    def _record(self, error: Exception | None) -> None:
        # The client has no class for it, and writes the text in lower case.
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
        # The client does not expose its prefix.
        return bytes(getattr(self._nc, "_inbox_prefix", b"_INBOX")).decode()

    def _inbox_error(self) -> InboxError:
        return InboxError(
            NotPermittedError(None, (f"{self._inbox()}.>",), "NATS does not permit it", "subscribe")
        )


def permission_errors_of(nc: Client) -> PermissionErrors:
    """The instance of a connected client: one for each client, however many reporters use it."""
    # There is no other way to see them on a connection that the caller has made.
    callback: ErrorCallback = nc._error_cb
    if isinstance(callback, PermissionErrors):
        return callback
    errors = PermissionErrors(nc, callback)
    nc._error_cb = errors
    return errors
