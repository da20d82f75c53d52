"""G6 the end: who may write to a job, over a real nats-server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from headway_worker import (
    Options,
    Reporter,
    SupersededError,
    Trouble,
    connect_reporter,
)
from nats_server import NatsServer
from proxy import proxied
from witness import ignore, until, witness


async def test_G6_a_new_attempt_takes_the_job_from_the_old_one(server: NatsServer, job_id: str) -> None:
    troubles: list[Trouble] = []
    async with (
        witness(server.url) as log,
        connect_reporter(server.url, Options(on_trouble=troubles.append)) as one,
        connect_reporter(server.url) as other,
    ):
        with pytest.raises(SupersededError) as caught:
            async with one.job(job_id, total=10) as old:
                old.report(current=5)
                async with other.job(job_id, total=10) as new:
                    assert new.attempt == 2
                    old.report(current=6)
                    await asyncio.wait_for(old.superseded.wait(), 5)
                    with pytest.raises(SupersededError):
                        old.report(current=7)
                # The end, too, is a report.
        assert (caught.value.reason, caught.value.attempt) == ("newer_attempt", 1)
        assert [trouble.kind for trouble in troubles] == ["superseded"]
        shown = await log.shown(job_id)
        begun = shown.index((2, "processing", 0))
        assert all(attempt == 2 for attempt, _, _ in shown[begun:])
        assert shown[-1] == (2, "completed", 100)


async def test_G6_two_workers_that_begin_together(server: NatsServer, job_id: str) -> None:
    async with (
        witness(server.url) as log,
        connect_reporter(server.url, Options(on_trouble=ignore)) as one,
        connect_reporter(server.url, Options(on_trouble=ignore)) as other,
    ):

        async def work(reporter: Reporter) -> Any:
            try:
                async with reporter.job(job_id, attempt=4) as job:
                    job.report(progress=50)
                return "completed"
            except SupersededError as error:
                return error.reason

        outcomes = await asyncio.gather(work(one), work(other))
        assert outcomes.count("completed") == 1
        assert outcomes[0] != outcomes[1] and {"other_writer", "finished"} & set(outcomes)
        shown = await log.shown(job_id)
        assert [status for _, status, _ in shown].count("completed") == 1
        assert shown.count((4, "processing", 0)) == 1


async def test_G6_a_finished_job_is_not_resurrected(server: NatsServer, job_id: str) -> None:
    troubles: list[Trouble] = []
    options = Options(on_trouble=troubles.append)
    async with witness(server.url) as log, connect_reporter(server.url, options) as reporter:
        async with reporter.job(job_id, attempt=3) as job:
            await job.complete()
            job.report(progress=10)
        before = await log.shown(job_id)
        for attempt in (1, 2, 3):
            with pytest.raises(SupersededError):
                async with reporter.job(job_id, attempt=attempt):
                    raise AssertionError("must not be entered")
        assert await log.shown(job_id) == before
        assert "late_update" in [trouble.kind for trouble in troubles]
        async with reporter.job(job_id) as job:
            assert job.attempt == 4


async def test_G6_rubbish_behind_an_end_hides_nothing(server: NatsServer, job_id: str) -> None:
    async with (
        witness(server.url) as log,
        connect_reporter(server.url, Options(on_trouble=ignore)) as reporter,
    ):
        async with reporter.job(job_id, attempt=7):
            pass
        await log.publish(job_id, b"rubbish")
        await log.publish(job_id, {"processing_id": job_id})
        with pytest.raises(SupersededError):
            async with reporter.job(job_id, attempt=7):
                pass
        async with reporter.job(job_id) as job:
            assert job.attempt == 8


async def test_G6_who_wrote_without_an_attempt(server: NatsServer, job_id: str) -> None:
    async with witness(server.url) as log, connect_reporter(server.url) as reporter:
        queued = {
            "processing_id": job_id,
            "status": "processing",
            "progress": 0,
            "timestamp": "2026-01-31T12:00:00Z",
        }
        await log.publish(job_id, queued)
        async with reporter.job(job_id) as job:
            assert job.attempt == 1
            # Late, and of nobody: no reason to stop.
            await log.publish(job_id, queued)
            job.report(progress=60)
        assert (await log.shown(job_id))[-1] == (1, "completed", 100)


async def test_a_worker_that_was_away_is_superseded_when_it_comes_back(
    server: NatsServer, job_id: str
) -> None:
    async with witness(server.url) as log, proxied(server.port) as proxy:
        quiet = Options(on_trouble=ignore, ack_seconds=0.3, max_updates_per_second=50)
        async with connect_reporter(proxy.url, quiet, reconnect_time_wait=0.05) as away:
            with pytest.raises(SupersededError):
                async with away.job(job_id) as lost:
                    proxy.is_closed = True
                    proxy.cut()
                    await until("it to be away", lambda: not away.is_connected)
                    lost.report(progress=90)
                    async with connect_reporter(server.url) as reporter, reporter.job(job_id):
                        pass
                    proxy.is_closed = False
                    await asyncio.wait_for(lost.superseded.wait(), 10)
        shown = await log.shown(job_id)
        assert (1, "processing", 90) not in shown
        assert shown[-1] == (2, "completed", 100)
