"""Jobs over a real nats-server that stays up."""

from __future__ import annotations

import asyncio
import time

import nats
import pytest
from nats_server import NatsServer
from witness import ignore, until, witness

from headway_worker import (
    EventTooLargeError,
    InvalidEventError,
    Job,
    JobEndedError,
    JobFailed,
    Options,
    connect_reporter,
)


async def test_a_job_completes_at_the_end_of_its_block(server: NatsServer, job_id: str) -> None:
    async with witness(server.url) as log, connect_reporter(server.url) as reporter:
        async with reporter.job(job_id, job_type="pdf", total=4, fields={"own": 1}) as job:
            assert job.attempt == 1
            job.report(current=3, message="Page 3")
        first, *_, end = [stored.event for stored in await log.events(job_id)]
        assert (first["status"], first["progress"], first["attempt"]) == ("processing", 0, 1)
        assert (end["status"], end["progress"], end["job_type"], end["message"], end["own"]) == (
            "completed",
            100,
            "pdf",
            "Page 3",
            1,
        )
        assert "result" not in end


async def test_a_result_goes_with_the_end(server: NatsServer, job_id: str) -> None:
    async with witness(server.url) as log, connect_reporter(server.url) as reporter:

        async def work(job: Job) -> dict[str, int]:
            job.report(progress=50)
            return {"pages": 14}

        assert await reporter.run(job_id, work) == {"pages": 14}
        async with reporter.job(f"{job_id}-b") as job:
            assert await job.complete(None) is True
            with pytest.raises(JobEndedError):
                await job.fail("too late")
        assert (await log.events(job_id))[-1].event["result"] == {"pages": 14}
        assert (await log.events(f"{job_id}-b"))[-1].event["result"] is None


async def test_a_job_fails_with_the_exception_of_its_block(server: NatsServer, job_id: str) -> None:
    async with witness(server.url) as log, connect_reporter(server.url) as reporter:
        with pytest.raises(ZeroDivisionError):
            async with reporter.job(job_id, total=10) as job:
                job.report(current=4)
                1 // 0
        with pytest.raises(JobFailed):
            async with reporter.job(job_id):
                raise JobFailed("Page 7", code="page_unreadable", retryable=True, details={"page": 7})
        first, second = [
            stored.event for stored in await log.events(job_id) if stored.event["status"] == "error"
        ]
        assert (first["progress"], first["attempt"], first["error"]) == (
            40,
            1,
            {
                "code": "ZeroDivisionError",
                "message": "integer division or modulo by zero",
                "retryable": False,
            },
        )
        assert (second["attempt"], second["error"]) == (
            2,
            {"code": "page_unreadable", "message": "Page 7", "retryable": True, "details": {"page": 7}},
        )


async def test_an_error_that_cannot_be_sent_does_not_hide_itself(server: NatsServer, job_id: str) -> None:
    async with (
        witness(server.url) as log,
        connect_reporter(server.url, Options(on_warning=ignore)) as reporter,
    ):
        with pytest.raises(JobFailed, match="why"):
            async with reporter.job(job_id):
                raise JobFailed("why", details=object())
        with pytest.raises(JobFailed, match="why"):
            async with reporter.job(job_id) as job:
                job.report(fields={"own": "x" * 65_000})
                raise JobFailed("why" * 1_000)
        ends = [stored.event for stored in await log.events(job_id) if stored.event["status"] == "error"]
        assert [len(end["error"]["message"]) for end in ends] == [3, 3_000]


async def test_a_cancelled_job_is_retryable(server: NatsServer, job_id: str) -> None:
    async with witness(server.url) as log, connect_reporter(server.url) as reporter:
        begun = asyncio.Event()

        async def work(job: Job) -> None:
            begun.set()
            await asyncio.sleep(60)

        task = asyncio.ensure_future(reporter.run(job_id, work))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        error = (await log.events(job_id))[-1].event["error"]
        assert (error["code"], error["retryable"]) == ("cancelled", True)


async def test_updates_are_coalesced_but_for_the_first_and_the_last(server: NatsServer, job_id: str) -> None:
    async with witness(server.url) as log, connect_reporter(server.url) as reporter:
        async with reporter.job(job_id, total=1_000) as job:
            began = time.monotonic()
            for number in range(500):
                job.report(current=number + 1)
                await asyncio.sleep(0.001)
            took = time.monotonic() - began
            # The last before a silence, with no end behind it.
            while (await log.shown(job_id))[-1] != (1, "processing", 50):
                await asyncio.sleep(0.01)
        shown = await log.shown(job_id)
        assert shown[0] == (1, "processing", 0)
        assert shown[-1] == (1, "completed", 100)
        assert 4 <= len(shown) <= took * 10 + 5


async def test_too_large_or_wrong_is_refused_before_it_is_sent(server: NatsServer, job_id: str) -> None:
    async with witness(server.url) as log, connect_reporter(server.url) as reporter:
        async with reporter.job(job_id) as job:
            with pytest.raises(EventTooLargeError, match="at most 65536"):
                await job.complete("x" * 65_536)
            with pytest.raises(InvalidEventError, match="/indeterminate"):
                job.report(indeterminate=1)  # type: ignore[arg-type]
            job.report(progress=50)
            assert await job.complete("small") is True
        first, *_, end = [stored.event for stored in await log.events(job_id)]
        assert (first["status"], end["status"], end["result"]) == ("processing", "completed", "small")
    with pytest.raises(InvalidEventError, match="/processing_id"):
        reporter.job("two.tokens")
    for settings in ({"attempt": 0}, {"job_type": "a b"}, {"timeout_seconds": 0}, {"traceparent": "00-x"}):
        with pytest.raises(InvalidEventError):
            reporter.job(job_id, **settings)


async def test_signs_of_life_while_the_job_runs_and_no_longer(server: NatsServer, job_id: str) -> None:
    async with witness(server.url) as log, connect_reporter(server.url) as reporter:
        alive = await log.nc.subscribe(f"alive.progress.{job_id}")
        await log.nc.flush()
        # A third of the time after which silence is a stall, whatever the reporter's own setting.
        async with reporter.job(job_id, stall_after_seconds=0.15):
            for _ in range(3):
                await alive.next_msg(timeout=2)
        await reporter.run(f"{job_id}-b", lambda job: asyncio.sleep(0))
        while alive.pending_msgs:
            await alive.next_msg(timeout=2)
        with pytest.raises(nats.errors.TimeoutError):
            await alive.next_msg(timeout=0.2)
        assert len(await log.events(job_id)) == 2


async def test_headers(server: NatsServer, job_id: str) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with (
        witness(server.url) as log,
        connect_reporter(server.url, Options(ce_source="urn:x")) as reporter,
    ):
        async with reporter.job(job_id, traceparent=trace):
            pass
        first, end = await log.events(job_id)
        assert first.headers["traceparent"] == end.headers["traceparent"] == trace
        assert (end.headers["ce-source"], end.headers["ce-type"], end.headers["ce-id"]) == (
            "urn:x",
            "headway.progress.completed",
            end.headers["Nats-Msg-Id"],
        )
        ids = [first.headers["Nats-Msg-Id"].split("."), end.headers["Nats-Msg-Id"].split(".")]
        assert ids[0][0] == ids[1][0] and ids[0][2] != ids[1][2] and len(ids[0][0]) >= 22


async def test_reports_from_threads(server: NatsServer, job_id: str) -> None:
    async with witness(server.url) as log, connect_reporter(server.url) as reporter:
        async with reporter.job(job_id, total=100) as job:

            def work() -> None:
                for number in range(100):
                    job.report(current=number)
                with pytest.raises(InvalidEventError):
                    job.report(message=7)  # type: ignore[arg-type]

            await asyncio.gather(*(asyncio.to_thread(work) for _ in range(4)))
            while (await log.shown(job_id))[-1] != (1, "processing", 99):
                await asyncio.sleep(0.01)


async def test_a_program_that_ends_leaves_its_job_open(server: NatsServer, job_id: str) -> None:
    async with (
        witness(server.url) as log,
        connect_reporter(server.url, Options(on_warning=ignore)) as reporter,
    ):
        try:
            async with reporter.job(job_id):
                raise SystemExit
        except SystemExit:
            pass
        await until("the delivery to end", lambda: not reporter._deliveries)
        assert await log.shown(job_id) == [(1, "processing", 0)]
