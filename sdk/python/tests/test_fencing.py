"""G6 the end: who may write to a job, over a real nats-server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from nats_server import NatsServer
from proxy import proxied
from witness import ignore, until, witness

from headway_worker import (
    Options,
    Reporter,
    ReporterWarning,
    SupersededError,
    connect_reporter,
)


async def test_G6_a_new_attempt_takes_the_job_from_the_old_one(server: NatsServer, job_id: str) -> None:
    warnings: list[ReporterWarning] = []
    async with (
        witness(server.url) as log,
        connect_reporter(server.url, Options(on_warning=warnings.append)) as one,
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
        assert [warning.kind for warning in warnings] == ["superseded"]
        shown = await log.shown(job_id)
        begun = shown.index((2, "processing", 0))
        assert all(attempt == 2 for attempt, _, _ in shown[begun:])
        assert shown[-1] == (2, "completed", 100)


async def test_G6_two_workers_that_begin_together(server: NatsServer, job_id: str) -> None:
    async with (
        witness(server.url) as log,
        connect_reporter(server.url, Options(on_warning=ignore)) as one,
        connect_reporter(server.url, Options(on_warning=ignore)) as other,
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
    warnings: list[ReporterWarning] = []
    options = Options(on_warning=warnings.append)
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
        assert "update_after_end" in [warning.kind for warning in warnings]
        async with reporter.job(job_id) as job:
            assert job.attempt == 4


async def test_G6_rubbish_behind_an_end_hides_nothing(server: NatsServer, job_id: str) -> None:
    async with (
        witness(server.url) as log,
        connect_reporter(server.url, Options(on_warning=ignore)) as reporter,
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
        quiet = Options(on_warning=ignore, ack_seconds=0.3, max_updates_per_second=50)
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


@pytest.mark.parametrize("has_ended", [False, True], ids=["and runs", "and has ended it"])
async def test_G6_a_job_that_was_taken_while_its_first_event_was_unanswered_is_not_taken_back(
    server: NatsServer, job_id: str, has_ended: bool
) -> None:
    quiet = Options(on_warning=ignore, start_seconds=0.1)
    async with witness(server.url) as log, proxied(server.port) as proxy:
        async with (
            connect_reporter(proxy.url, quiet, reconnect_time_wait=0.05) as away,
            connect_reporter(server.url) as reporter,
        ):
            proxy.swallows_answers = True
            with pytest.raises(SupersededError) as caught:
                async with away.job(job_id) as old:
                    while not await log.shown(job_id):
                        await asyncio.sleep(0.01)
                    proxy.is_closed = True
                    proxy.cut()
                    new = reporter.job(job_id)
                    await new.__aenter__()
                    assert new.attempt == 2
                    if has_ended:
                        await new.complete()
                    old.report(progress=90)
                    proxy.is_closed = proxy.swallows_answers = False
                    await asyncio.wait_for(old.superseded.wait(), 10)
            assert caught.value.reason == "newer_attempt"
            if not has_ended:
                await new.complete()
            await new.__aexit__(None, None, None)
        assert await log.shown(job_id) == [
            (1, "processing", 0),
            (2, "processing", 0),
            (2, "completed", 100),
        ]


async def test_a_run_that_is_not_the_second_begins_though_its_first_try_went_unanswered(
    own_server: NatsServer,
) -> None:
    async with witness(own_server.url) as log, proxied(own_server.port) as proxy:
        quiet = Options(on_warning=ignore, start_seconds=0.1)
        async with connect_reporter(proxy.url, quiet, reconnect_time_wait=0.05) as reporter:
            for _ in range(2):
                async with reporter.job("a") as job:
                    await job.fail("once more", retryable=True)
            # The server stands still while the event is on its way, and is gone before it looks at it.
            await asyncio.to_thread(own_server.freeze)
            async with reporter.job("a") as job:
                await asyncio.to_thread(own_server.kill)
                await asyncio.to_thread(own_server.start)
                await until("the first event", lambda: job.attempt)
                assert job.attempt == 3
        assert (await log.shown("a"))[-1] == (3, "completed", 100)
