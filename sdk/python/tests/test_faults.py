"""G3 faults: killed servers, killed workers, lost acknowledgements, and NATS that is not there."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nats_server import NatsServer
from proxy import proxied
from witness import ignore, until, witness

from headway_worker import (
    Job,
    Options,
    ReporterWarning,
    connect_reporter,
)

HURRY: dict[str, Any] = {"max_updates_per_second": 50}


def rising(shown: list[tuple[Any, ...]]) -> None:
    """Nothing twice, nothing late."""
    percents = [percent for _, _, percent in shown]
    assert percents == sorted(set(percents)), percents


async def test_G3_the_server_is_killed_in_mid_job(own_server: NatsServer) -> None:
    warnings: list[ReporterWarning] = []
    options = Options(on_warning=warnings.append, **HURRY)
    async with connect_reporter(own_server.url, options, reconnect_time_wait=0.05) as reporter:
        async with witness(own_server.url):
            pass
        jobs = [reporter.job(f"job-{number}", total=90) for number in range(20)]

        async def work(index: int) -> None:
            async with jobs[index] as job:
                for number in range(90):
                    job.report(current=number + 1)
                    await asyncio.sleep(0.01)
                # The job has not waited for NATS, but its end does.

        async def kill() -> None:
            for _ in range(2):
                await asyncio.sleep(0.3)
                await asyncio.to_thread(own_server.kill)
                await asyncio.to_thread(own_server.start)

        await asyncio.gather(kill(), *(work(index) for index in range(20)))
        # Between two events of all jobs it may be there again.
        assert {"disconnected", "retrying"} & {warning.kind for warning in warnings}
        async with witness(own_server.url) as log:
            for number in range(20):
                shown = await log.shown(f"job-{number}")
                rising(shown)
                assert (shown[0], shown[-1]) == ((1, "processing", 0), (1, "completed", 100))
                assert len(shown) > 5


@pytest.mark.parametrize(
    "window", [120, 0.1], ids=["known as a duplicate", "forgotten, so the leader is asked"]
)
async def test_G3_an_event_whose_acknowledgement_is_lost_is_stored_once(
    own_server: NatsServer, window: float
) -> None:
    options = Options(ack_seconds=0.2, on_warning=ignore, **HURRY)
    async with witness(own_server.url) as log, proxied(own_server.port) as proxy:
        await log.nc.jetstream().delete_stream("PROGRESS")
        await log.make_stream(duplicate_window=window)
        async with connect_reporter(proxy.url, options, reconnect_time_wait=0.05) as reporter:
            async with reporter.job("a") as job:
                for percent in (20, 40, 60):
                    proxy.swallows_answers = True
                    job.report(progress=percent)
                    while (await log.shown("a"))[-1][2] != percent:
                        await asyncio.sleep(0.01)
                    # More than one try, and longer than what the server remembers of ids.
                    await asyncio.sleep(0.3)
                    job.report(progress=percent + 5)
                    proxy.swallows_answers = False
                    proxy.cut()
                    while (await log.shown("a"))[-1][2] != percent + 5:
                        await asyncio.sleep(0.01)
        assert [percent for _, _, percent in await log.shown("a")] == [0, 20, 25, 40, 45, 60, 65, 100]


async def test_G3_an_acknowledgement_is_not_waited_for_on_a_connection_that_is_gone(
    own_server: NatsServer,
) -> None:
    options = Options(ack_seconds=60, on_warning=ignore)
    async with witness(own_server.url) as log, proxied(own_server.port) as proxy:
        async with connect_reporter(proxy.url, options, reconnect_time_wait=0.05) as reporter:
            async with reporter.job("a") as job:
                proxy.swallows_answers = True
                job.report(progress=50)
                while len(await log.shown("a")) < 2:
                    await asyncio.sleep(0.01)
                proxy.swallows_answers = False
                proxy.cut()
        assert await log.shown("a") == [(1, "processing", 0), (1, "processing", 50), (1, "completed", 100)]


async def test_G3_a_first_event_and_an_end_whose_acknowledgements_are_lost(own_server: NatsServer) -> None:
    options = Options(ack_seconds=0.1, start_seconds=0.2, on_warning=ignore, **HURRY)
    async with witness(own_server.url) as log, proxied(own_server.port) as proxy:
        await log.nc.jetstream().delete_stream("PROGRESS")
        await log.make_stream(duplicate_window=0.1)
        async with connect_reporter(proxy.url, options, reconnect_time_wait=0.05) as reporter:
            proxy.swallows_answers = True
            async with reporter.job("a", attempt=5) as job:
                proxy.swallows_answers = False
                await until("the first event", lambda: job.attempt)
                proxy.swallows_answers = True
                asyncio.get_running_loop().call_later(0.4, setattr, proxy, "swallows_answers", False)
                assert await job.complete() is True
        assert await log.shown("a") == [(5, "processing", 0), (5, "completed", 100)]


async def test_G3_a_stream_that_was_made_again_gets_the_state(own_server: NatsServer) -> None:
    async with witness(own_server.url) as log, connect_reporter(own_server.url, Options(**HURRY)) as reporter:
        async with reporter.job("a") as job:
            await log.nc.jetstream().delete_stream("PROGRESS")
            await log.make_stream()
            job.report(progress=70)
        assert await log.shown("a") in (
            [(1, "processing", 70), (1, "completed", 100)],
            [(1, "completed", 100)],
        )


async def test_nats_that_is_not_there_never_blocks_or_breaks_a_job(own_server: NatsServer) -> None:
    own_server.kill()
    warnings: list[ReporterWarning] = []
    options = Options(on_warning=warnings.append, end_seconds=0.05)
    async with connect_reporter(
        own_server.url, options, wait_seconds=0.05, reconnect_time_wait=0.05
    ) as reporter:
        # Nobody starts the server before the block is over.
        async with reporter.job("a") as job:
            for number in range(2_000):
                job.report(progress=number / 20, fields={"own": "x" * 100})
            assert job.attempt is None
        assert {"disconnected", "not_acknowledged"} <= {warning.kind for warning in warnings}
        await asyncio.to_thread(own_server.start)
        async with witness(own_server.url) as log:
            await until("the connection", lambda: reporter.is_connected)
            while len(await log.shown("a")) < 2:
                await asyncio.sleep(0.01)
            assert await log.shown("a") == [(1, "processing", 0), (1, "completed", 100)]
        assert "reconnected" in [warning.kind for warning in warnings]


async def test_a_job_that_is_cancelled_while_nats_is_away_ends_soon(own_server: NatsServer) -> None:
    options = Options(on_warning=ignore, close_seconds=0.05)
    async with connect_reporter(own_server.url, options) as reporter:
        async with witness(own_server.url):
            pass
        begun = asyncio.Event()

        async def work() -> None:
            async with reporter.job("a"):
                begun.set()
                await asyncio.sleep(60)

        task = asyncio.ensure_future(work())
        await begun.wait()
        own_server.kill()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_closing_waits_for_what_is_pending_and_tells_what_it_left(own_server: NatsServer) -> None:
    warnings: list[ReporterWarning] = []
    async with witness(own_server.url) as log:
        async with connect_reporter(own_server.url, Options(max_updates_per_second=3)) as reporter:
            job = reporter.job("a")
            await job.__aenter__()
            job.report(progress=10)
            job.report(progress=20)
        assert await log.shown("a") == [(1, "processing", 0), (1, "processing", 20)]
    options = Options(on_warning=warnings.append, close_seconds=0.2)
    async with connect_reporter(own_server.url, options) as reporter:
        job = reporter.job("b")
        await job.__aenter__()
        await asyncio.to_thread(own_server.kill)
        job.report(progress=10)
    assert "not_acknowledged" in [warning.kind for warning in warnings]


async def test_closing_does_not_wait_for_the_distance_between_updates(
    server: NatsServer, job_id: str
) -> None:
    warnings: list[ReporterWarning] = []
    options = Options(on_warning=warnings.append, max_updates_per_second=0.05)
    async with witness(server.url) as log:
        for name, percents in ((f"{job_id}-stored", ()), (f"{job_id}-waits", (77,))):
            reporter = connect_reporter(server.url, options)
            await reporter.__aenter__()
            job = reporter.job(name)
            await job.__aenter__()
            for percent in percents:
                job.report(progress=percent)
            await asyncio.wait_for(reporter.close(), 5)
            assert [percent for _, _, percent in await log.shown(name)] == [0, *percents]
    assert warnings == []


async def test_a_job_that_ends_after_its_reporter_is_told_so(server: NatsServer, job_id: str) -> None:
    warnings: list[ReporterWarning] = []
    reporter = connect_reporter(server.url, Options(on_warning=warnings.append))
    await reporter.__aenter__()

    async def work(job: Job) -> int:
        await reporter.close()
        job.report(progress=10)
        return 5

    assert await reporter.run(job_id, work) == 5
    assert [warning.kind for warning in warnings] == ["update_after_end", "not_acknowledged"]
    assert {warning.processing_id for warning in warnings} == {job_id}


async def test_a_job_that_is_cancelled_while_it_begins_is_not_left_open(own_server: NatsServer) -> None:
    options = Options(on_warning=ignore, close_seconds=0.1, start_seconds=60)
    async with witness(own_server.url) as log, connect_reporter(own_server.url, options) as reporter:

        async def work() -> None:
            async with reporter.job("a"):
                raise AssertionError("must not be entered")

        await asyncio.to_thread(own_server.freeze)
        task = asyncio.ensure_future(work())
        # Whatever of the event has been written by then.
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(own_server.thaw)
        while len(await log.shown("a")) < 2:
            await asyncio.sleep(0.01)
        events = await log.events("a")
        assert [stored.event["status"] for stored in events] == ["processing", "error"]
        error = events[1].event["error"]
        assert (error["code"], error["retryable"]) == ("cancelled", True)


WORKER = """
import asyncio, sys
from headway_worker import connect_reporter
async def main():
    async with connect_reporter(sys.argv[1]) as reporter:
        async with reporter.job(sys.argv[2], total=100_000) as job:
            for number in range(100_000):
                job.report(current=number)
                await asyncio.sleep(0.01)
asyncio.run(main())
"""


async def test_a_worker_that_is_killed_leaves_its_job_open(server: NatsServer, job_id: str) -> None:
    async with witness(server.url) as log:
        package = str(Path(__file__).parents[1])
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, server.url, job_id], env={**os.environ, "PYTHONPATH": package}
        )
        try:
            while len(await log.events(job_id)) < 3:
                assert worker.poll() is None
                await asyncio.sleep(0.02)
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        assert {status for _, status, _ in await log.shown(job_id)} == {"processing"}
        async with connect_reporter(server.url) as reporter, reporter.job(job_id) as job:
            assert job.attempt == 2
        assert (await log.shown(job_id))[-1] == (2, "completed", 100)
