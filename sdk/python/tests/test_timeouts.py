"""Workers that an edge took for dead, over a real nats-server: an edge cannot tell dead from cut off."""

from __future__ import annotations

import asyncio

import pytest
from nats_server import NatsServer
from proxy import proxied
from witness import ignore, until, witness

from headway_worker import Options, ReporterWarning, SupersededError, connect_reporter


async def test_a_worker_that_was_cut_off_and_timed_out_goes_on(server: NatsServer, job_id: str) -> None:
    warnings: list[ReporterWarning] = []
    async with witness(server.url) as log, proxied(server.port) as proxy:
        options = Options(on_warning=warnings.append, ack_seconds=0.3, max_updates_per_second=1000)
        async with connect_reporter(proxy.url, options, reconnect_time_wait=0.05) as reporter:
            async with reporter.job(job_id) as job:
                job.report(progress=60)
                assert job._delivery is not None
                await asyncio.wait_for(job._delivery.idle.wait(), 5)
                proxy.is_closed = True
                proxy.cut()
                await until("it to be away", lambda: not reporter.is_connected)
                job.report(progress=20, message="still here")
                await log.time_out(job_id)
                proxy.is_closed = False
                await asyncio.wait_for(job._delivery.idle.wait(), 10)
                assert not job.superseded.is_set()
                # And once more, while it is there.
                await log.time_out(job_id)
        assert await log.shown(job_id) == [
            (1, "processing", 0),
            (1, "processing", 60),
            (1, "error", 60),
            (1, "processing", 60),
            (1, "error", 60),
            (1, "completed", 100),
        ]
        assert "superseded" not in [warning.kind for warning in warnings]


async def test_G6_a_time_out_that_is_an_end(server: NatsServer, job_id: str) -> None:
    async with (
        witness(server.url) as log,
        connect_reporter(server.url, Options(on_warning=ignore)) as reporter,
    ):
        with pytest.raises(SupersededError) as caught:
            async with reporter.job(job_id) as job:
                last = (await log.events(job_id))[-1].event
                error = {"code": "timeout", "retryable": False}
                await log.publish(job_id, {**last, "status": "error", "error": error})
                job.report(progress=50)
                await asyncio.wait_for(job.superseded.wait(), 5)
        assert caught.value.reason == "timeout"


async def test_G6_a_newer_attempt_behind_a_time_out(server: NatsServer, job_id: str) -> None:
    async with (
        witness(server.url) as log,
        connect_reporter(server.url, Options(on_warning=ignore)) as reporter,
    ):
        with pytest.raises(SupersededError) as caught:
            async with reporter.job(job_id) as old:
                await log.time_out(job_id)
                async with reporter.job(job_id) as new:
                    assert new.attempt == 2
                    await log.time_out(job_id)
                    old.report(progress=50)
                    await asyncio.wait_for(old.superseded.wait(), 5)
        assert (caught.value.reason, caught.value.attempt) == ("newer_attempt", 1)
        assert await log.shown(job_id) == [
            (1, "processing", 0),
            (1, "error", 0),
            (2, "processing", 0),
            (2, "error", 0),
            (2, "completed", 100),
        ]


async def test_G6_another_worker_is_not_hidden_by_a_time_out(server: NatsServer, job_id: str) -> None:
    async with (
        witness(server.url) as log,
        connect_reporter(server.url, Options(on_warning=ignore)) as reporter,
    ):
        with pytest.raises(SupersededError) as caught:
            async with reporter.job(job_id) as job:
                await log.publish(job_id, (await log.events(job_id))[-1].event)
                await log.time_out(job_id)
                job.report(progress=50)
                await asyncio.wait_for(job.superseded.wait(), 5)
        assert caught.value.reason == "other_writer"


async def test_G8_rubbish_takes_nobody_the_job(server: NatsServer, job_id: str) -> None:
    warnings: list[ReporterWarning] = []
    options = Options(on_warning=warnings.append)
    async with witness(server.url) as log, connect_reporter(server.url, options) as reporter:
        async with reporter.job(job_id) as job:
            await log.publish(job_id, b"rubbish")
            job.report(progress=50)
            await log.publish(job_id, {"processing_id": "another", "attempt": 9})
        assert warnings == []
