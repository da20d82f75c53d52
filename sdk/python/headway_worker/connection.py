"""The connection to NATS: one that is given, or one of our own that never gives up."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from typing import Any, Iterable

from nats.aio.client import Client
from nats.errors import AuthorizationError, Error

from .contract import ALIVE_PREFIX
from .errors import InvalidOptionError, NotAuthorizedError
from .warning import WarningLimiter

_RECONNECT_SECONDS = 0.5
# A permission error in the client's words, which are in lower case.
_REFUSED = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"', re.IGNORECASE)
# The caller of these requests gets the error.
_ANSWERED = re.compile(r"progress\.|.*\.(stream\.msg|direct)\.get\.", re.IGNORECASE)
_REFUSED_CREDENTIALS = re.compile(
    r"authorization failed|authorization violation|authentication expired", re.IGNORECASE
)


class GivenConnection:
    """The caller's connection: it is used, and left open."""

    def __init__(self, nc: Client) -> None:
        self.nc = nc

    @property
    def is_closed(self) -> bool:
        return self.nc.is_closed

    @property
    def refusal(self) -> NotAuthorizedError | None:
        return None if self.nc.is_connected else _refusal_of(self.nc.last_error)

    @property
    def unreachable(self) -> str:
        servers = (url.geturl() for url in self.nc.servers)
        return unreachable_text(servers, dial_failure(self.nc.last_error) or "the connection was lost")


class OwnConnection:
    """Connects, and reconnects without limit: also where the client gives up for good, as it does when a server refuses
    its credentials."""

    def __init__(self, settings: dict[str, Any], warn: WarningLimiter) -> None:
        self.nc = Client()
        self.is_closed = False
        self._warn = warn
        self._settings = {
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": _RECONNECT_SECONDS,
            # A dead peer is detected after two of them.
            "ping_interval": 10,
            **settings,
            "error_cb": self._on_error,
        }
        prefix = settings.get("inbox_prefix", "_INBOX")
        self._inbox_prefix = prefix.decode() if isinstance(prefix, bytes) else str(prefix)
        self._servers: list[str] = settings.get("servers", [])
        self._task: asyncio.Task[None] | None = None
        self._refused = asyncio.Event()
        self._last_complaint = ""
        self.refusal: NotAuthorizedError | None = None
        """The error with which NATS refused the credentials; None once it has accepted them."""

    @property
    def unreachable(self) -> str:
        failure = dial_failure(self.nc.last_error) or "no connection was made yet"
        return unreachable_text(self._servers, failure)

    async def open(self, wait_seconds: float) -> None:
        """Returns when there is a connection, or after ``wait_seconds`` without one.

        :raises InvalidOptionError: for settings that no connection can be made with
        """
        opened = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._connect_forever(opened))
        waiting = asyncio.ensure_future(opened.wait())
        refused = asyncio.ensure_future(self._refused.wait())
        try:
            await asyncio.wait(
                {self._task, waiting, refused}, timeout=wait_seconds, return_when=asyncio.FIRST_COMPLETED
            )
        except BaseException:
            await self.close()
            raise
        finally:
            waiting.cancel()
            refused.cancel()
        if self._task.done():
            self.is_closed = True
            try:
                self._task.result()
            except (TypeError, ValueError, AttributeError, AssertionError, ImportError, Error) as error:
                why = str(error) or type(error).__name__
                raise InvalidOptionError(
                    "nats", f"has settings that nats.connect does not take: {why}"
                ) from error

    async def close(self) -> None:
        """Returns within some seconds, whatever the server does."""
        self.is_closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1)
        closing = asyncio.ensure_future(self.nc.close())
        # A connection that was never opened raises an exception here.
        closing.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait({closing}, timeout=2)

    async def _connect_forever(self, opened: asyncio.Event) -> None:
        while not self.is_closed:
            closed = asyncio.Event()

            async def on_closed(closed: asyncio.Event = closed) -> None:
                closed.set()

            await self.nc.connect(**self._settings, reconnected_cb=self._on_connected, closed_cb=on_closed)
            await self._on_connected()
            opened.set()
            await closed.wait()
            await asyncio.sleep(_RECONNECT_SECONDS)
            self.nc = Client()

    async def _on_connected(self) -> None:
        self._last_complaint = ""
        self.refusal = None
        self._refused.clear()

    async def _on_error(self, error: Exception) -> None:
        complaint = str(error) or type(error).__name__
        refusal = _refusal_of(error)
        if refusal is not None and not self.is_closed:
            self.refusal = refusal
            self._refused.set()
            self._warn("not_authorized", str(refusal), None, refusal)
            return
        refused = _REFUSED.search(complaint)
        if refused is not None:
            operation, subject = refused.groups()
            is_inbox = subject.lower().startswith(self._inbox_prefix.lower())
            if is_inbox if operation == "subscription" else _ANSWERED.match(subject):
                return
            if subject.startswith(ALIVE_PREFIX):
                self._warn("not_permitted", f"NATS refuses: {operation} to {subject}")
                return
        # The same error comes with every try.
        if complaint != self._last_complaint and not self.is_closed:
            self._last_complaint = complaint
            self._warn("connection", f"the NATS client reports: {complaint}")


def _refusal_of(error: Exception | None) -> NotAuthorizedError | None:
    if error is None:
        return None
    is_refusal = isinstance(error, AuthorizationError) or _REFUSED_CREDENTIALS.search(str(error))
    return NotAuthorizedError(str(error) or type(error).__name__) if is_refusal else None


def unreachable_text(servers: Iterable[str], reason: str) -> str:
    """Where and why NATS cannot be reached, for people. Holds no credentials.

    :param servers: addresses of NATS, perhaps with a user and a password, or without a scheme
    """
    addresses = []
    for server in servers:
        scheme, separator, rest = server.rpartition("://")
        addresses.append(f"{scheme if separator else 'nats'}://{rest.rpartition('@')[2]}")
    at = f" at {' or '.join(addresses)}" if addresses else ""
    return f"NATS cannot be reached{at}: {reason}"


def dial_failure(error: Exception | None) -> str | None:
    """Why a try to connect has failed: the code of the system, where there is one. None: nothing is known."""
    if error is None:
        return None
    if isinstance(error, asyncio.TimeoutError):
        return "TIMEOUT"
    if isinstance(error, socket.gaierror):
        return str(error.strerror or error)
    # Where a name has several addresses, asyncio puts the errors of all into one text.
    found = re.search(r"\[Errno (\d+)\]", str(error)) if isinstance(error, OSError) else None
    code = found and errno.errorcode.get(int(found[1]))
    return code or str(error).removeprefix("nats: ") or type(error).__name__
