"""What is in the log, read past the SDK."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, AsyncIterator, Callable, Mapping, TypeVar

import nats
from nats.aio.client import Client
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError

from headway_worker import ReporterWarning, Valid, decode_event

_T = TypeVar("_T")


async def until(what: str, look: Callable[[], _T | None], seconds: float = 10) -> _T:
    deadline = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < deadline:
        found = look()
        if found:
            return found
        await asyncio.sleep(0.005)
    raise AssertionError(f"waited {seconds} s for {what}")


@dataclass(frozen=True)
class Stored:
    seq: int
    event: Mapping[str, Any]
    headers: Mapping[str, str]


class Witness:
    def __init__(self, nc: Client) -> None:
        self.nc = nc
        self._js = nc.jetstream()

    async def make_stream(self, duplicate_window: float = 120, max_msg_size: int = -1) -> None:
        """As an edge makes it."""
        await self._js.add_stream(
            StreamConfig(
                name="PROGRESS",
                subjects=["progress.*"],
                max_msgs_per_subject=1000,
                duplicate_window=duplicate_window,
                max_msg_size=max_msg_size,
                allow_direct=True,
            )
        )

    async def publish(self, job_id: str, body: Mapping[str, Any] | bytes) -> int:
        """As some other program."""
        ack = await self._js.publish(
            f"progress.{job_id}", body if isinstance(body, bytes) else json.dumps(body).encode()
        )
        return ack.seq

    async def time_out(self, job_id: str) -> int:
        """As an edge does it for a job that fell silent: its last state, and only if nothing was stored since."""
        last = (await self.events(job_id))[-1]
        running = ("message", "eta_seconds", "indeterminate", "result")
        kept = {name: value for name, value in last.event.items() if name not in running}
        error = {
            "code": "timeout",
            "message": "The job gave no sign of life for 60 s",
            "retryable": True,
            "details": {"silent_ms": 60_000},
        }
        body = {**kept, "status": "error", "timestamp": "2026-01-31T12:00:00.000Z", "error": error}
        expected = {"Nats-Expected-Last-Subject-Sequence": str(last.seq)}
        ack = await self._js.publish(f"progress.{job_id}", json.dumps(body).encode(), headers=expected)
        return ack.seq

    async def purge(self, job_id: str) -> None:
        await self._js.purge_stream("PROGRESS", subject=f"progress.{job_id}")

    async def events(self, job_id: str) -> list[Stored]:
        """All of a job, each of which must be valid, and stored once."""
        found: list[Stored] = []
        subject = f"progress.{job_id}"
        at = 1
        while True:
            try:
                message = await self._js.get_msg("PROGRESS", at, subject, next=True)
            except NotFoundError:
                break
            decoded = decode_event(subject, message.data or b"")
            assert isinstance(decoded, Valid), decoded
            assert message.seq is not None
            found.append(Stored(message.seq, decoded.event, message.headers or {}))
            at = message.seq + 1
        ids = [stored.headers["Nats-Msg-Id"] for stored in found if "Nats-Msg-Id" in stored.headers]
        assert len(set(ids)) == len(ids), "a message is there twice"
        return found

    async def shown(self, job_id: str) -> list[tuple[Any, ...]]:
        """(attempt, status, progress) of each event."""
        return [
            (stored.event.get("attempt"), stored.event["status"], stored.event["progress"])
            for stored in await self.events(job_id)
        ]


@asynccontextmanager
async def witness(url: str) -> AsyncIterator[Witness]:
    nc = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.05, error_cb=_quiet)
    try:
        watching = Witness(nc)
        await watching.make_stream()
        yield watching
    finally:
        await nc.close()


async def _quiet(error: Exception) -> None:
    """The servers here are killed on purpose."""


def ignore(warning: ReporterWarning) -> None:
    """For tests that do not check warnings."""
