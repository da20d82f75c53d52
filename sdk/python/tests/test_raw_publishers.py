"""G6 the end: workers beside publishers that are none of this package. Random programs, over a log in memory."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any, Mapping, cast

import pytest

from headway_worker.contract import Valid, decode_event, encode
from headway_worker.event_delivery import EventDelivery
from headway_worker.fencing import LastMessage, Stored
from headway_worker.jetstream import Conflict, JobStream, Reply
from headway_worker.send_queue import OutgoingEvent

TIMESTAMP = "2026-01-31T12:00:00Z"
SUBJECT = "progress.a"


class MemoryLog:
    """A stream of one job. Each call waits until the test lets its worker move."""

    def __init__(self) -> None:
        self.found: list[LastMessage] = []

    def put(self, body: bytes, msg_id: str | None, expected: int | None) -> int:
        decoded = decode_event(SUBJECT, body)
        # Other jobs write between.
        seq = 3 * len(self.found) + 3
        self.found.append(
            LastMessage(seq, decoded.event if isinstance(decoded, Valid) else None, msg_id, expected)
        )
        return seq


class WorkerLog:
    """The log as one worker sees it, which may stand still in the middle of anything."""

    def __init__(self, memory: MemoryLog) -> None:
        self.memory = memory
        self.may_move = asyncio.Semaphore(0)

    async def connected(self, refused: object = None) -> None:
        pass

    async def append(
        self, subject: str, body: bytes, msg_id: str, expected: int, headers: Mapping[str, str]
    ) -> Reply:
        await self.may_move.acquire()
        found = self.memory.found
        newest = found[-1].seq if found else 0
        return Stored(self.memory.put(body, msg_id, expected)) if newest == expected else Conflict(newest)

    async def last(self, subject: str, at_least: int) -> LastMessage | None:
        await self.may_move.acquire()
        return self.memory.found[-1] if self.memory.found else None

    async def range(self, subject: str, start: int, before: int, most: int) -> list[LastMessage]:
        await self.may_move.acquire()
        return [one for one in self.memory.found if start <= one.seq < before][:most]


def raw(chance: random.Random) -> bytes:
    status = chance.choice(["processing", "processing", "completed", "error"])
    event: dict[str, Any] = {"processing_id": "a", "status": status, "progress": 0, "timestamp": TIMESTAMP}
    if chance.random() < 0.3:
        event["attempt"] = chance.randint(1, 4)
    if status == "error":
        event["error"] = {"code": chance.choice(["x", "timeout"]), "retryable": chance.random() < 0.5}
    return b"litter" if chance.random() < 0.1 else encode(event)


def outgoing(status: str) -> OutgoingEvent:
    event = {"processing_id": "a", "status": status, "progress": 0, "timestamp": TIMESTAMP}
    return OutgoingEvent(cast(Any, status), TIMESTAMP, encode(event))


def check(found: list[LastMessage]) -> None:
    """By PROTOCOL.md the attempt of a job is the highest so far, and what names none belongs to it."""
    highest = 0
    has_ended = False
    for one in found:
        if one.event is None:
            continue
        is_closed = one.event["status"] != "processing"
        attempt = int(one.event.get("attempt", max(highest, int(is_closed))))
        story = json.dumps([(other.msg_id, other.event) for other in found], indent=1)
        if one.msg_id is not None:
            assert attempt >= highest, f"an attempt below the job's: {story}"
            assert attempt > highest or not has_ended, f"it goes on behind its end: {story}"
        has_ended = has_ended and attempt <= highest
        highest = max(highest, attempt)
        error = one.event.get("error", {})
        is_timeout = one.msg_id is None and error.get("code") == "timeout" and error.get("retryable") is True
        has_ended = has_ended or (attempt == highest and is_closed and not is_timeout)


async def program(chance: random.Random) -> MemoryLog:
    memory = MemoryLog()
    workers: list[tuple[EventDelivery, WorkerLog]] = []
    tasks: list[asyncio.Task[None]] = []
    has_ended: set[EventDelivery] = set()

    def start() -> EventDelivery:
        log = WorkerLog(memory)
        delivery = EventDelivery("a", None, {}, None, 0, cast(JobStream, log), lambda *_: None)
        workers.append((delivery, log))
        tasks.append(asyncio.ensure_future(delivery.run()))
        delivery.enqueue(outgoing("processing"))
        return delivery

    def offer(delivery: EventDelivery, status: str) -> None:
        if delivery.done.done() or delivery in has_ended:
            return
        delivery.enqueue(outgoing(status))
        if status != "processing":
            has_ended.add(delivery)

    async def settle() -> None:
        for _ in range(8):
            await asyncio.sleep(0)

    try:
        for _ in range(chance.randint(4, 60)):
            match chance.choice(["start", "raw", "raw", "report", "end", "move", "move", "move"]):
                case "start" if len(workers) < 4:
                    start()
                case "raw":
                    memory.put(raw(chance), None, None)
                case "report" if workers:
                    offer(chance.choice(workers)[0], "processing")
                case "end" if workers:
                    offer(chance.choice(workers)[0], "completed")
                case "move" if workers:
                    chance.choice(workers)[1].may_move.release()
            await settle()
        last = start()
        offer(last, "completed")
        for _, log in workers:
            for _ in range(200):
                log.may_move.release()
            await settle()
        assert await asyncio.wait_for(asyncio.shield(last.done), 5) == "stored"
        for delivery, _ in workers:
            offer(delivery, "processing")
        for _ in range(20):
            await settle()
        newest = memory.found[-1]
        assert newest.event is not None and newest.event["status"] == "completed", "nobody takes it back"
        assert newest.event["attempt"] == last.attempt
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return memory


@pytest.mark.parametrize("seed", range(20))
async def test_G6_no_worker_falls_back_behind_the_highest_attempt_or_writes_behind_its_end(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(25):
        check((await program(chance)).found)
