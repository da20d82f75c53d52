"""The connection to NATS: one that is given, or one of our own that never gives up."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from nats.aio.client import Client

from .options import Teller

_AGAIN_SECONDS = 0.5
_REFUSED_READ = re.compile(
    r"permissions violation for publish to .*\.(stream\.msg|direct)\.get\.", re.IGNORECASE
)


class GivenConnection:
    """Somebody else's: it is used, and left as it is."""

    def __init__(self, nc: Client) -> None:
        self.nc = nc

    @property
    def is_over(self) -> bool:
        return self.nc.is_closed


class OwnConnection:
    """Connects, and connects again for as long as it takes: also where the client gives up for good, as it does when a
    server refuses its credentials."""

    def __init__(self, servers: str | list[str], settings: dict[str, Any], tell: Teller) -> None:
        self.nc = Client()
        self.is_over = False
        self._tell = tell
        self._settings = {
            "servers": servers,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": _AGAIN_SECONDS,
            # A peer that is gone without a word is noticed after two of them.
            "ping_interval": 10,
            **settings,
            "error_cb": self._on_error,
        }
        self._task: asyncio.Task[None] | None = None
        self._complaint = ""

    async def open(self, wait_seconds: float) -> None:
        """Returns when there is a connection, or after ``wait_seconds`` without one.

        :raises Exception: for settings that no connection can be made with
        """
        opened = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._keep(opened))
        waiting = asyncio.ensure_future(opened.wait())
        try:
            await asyncio.wait(
                {self._task, waiting}, timeout=wait_seconds, return_when=asyncio.FIRST_COMPLETED
            )
        except BaseException:
            await self.close()
            raise
        finally:
            waiting.cancel()
        if self._task.done():
            self.is_over = True
            self._task.result()

    async def close(self) -> None:
        """Returns within some seconds, whatever the server does."""
        self.is_over = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1)
        await asyncio.wait({asyncio.ensure_future(self.nc.close())}, timeout=2)

    async def _keep(self, opened: asyncio.Event) -> None:
        while not self.is_over:
            closed = asyncio.Event()

            async def on_closed(closed: asyncio.Event = closed) -> None:
                closed.set()

            await self.nc.connect(**self._settings, reconnected_cb=self._on_connected, closed_cb=on_closed)
            await self._on_connected()
            opened.set()
            await closed.wait()
            await asyncio.sleep(_AGAIN_SECONDS)
            self.nc = Client()

    async def _on_connected(self) -> None:
        self._complaint = ""

    async def _on_error(self, error: Exception) -> None:
        complaint = str(error) or type(error).__name__
        # Whoever asked is told by the answer.
        if _REFUSED_READ.search(complaint):
            return
        # The same one comes with every try.
        if complaint != self._complaint and not self.is_over:
            self._complaint = complaint
            self._tell("connection", complaint)
