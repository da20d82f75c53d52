"""G6 the end: a process that is asked to end leaves no job open."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from nats_server import NatsServer
from witness import until, witness

from headway_worker import connect_reporter

HERE = Path(__file__).parent
PROGRAM = """
import asyncio, sys
from headway_worker import connect_reporter

async def main(url, job_id):
    async with connect_reporter(url) as reporter:
        reporter.close_on_signals()
        async def other():
            async with reporter.job(job_id + "-2"):
                await asyncio.Event().wait()
        task = asyncio.ensure_future(other())
        try:
            async with reporter.job(job_id) as job, reporter.job(job_id + "-3"):
                job.report(progress=30)
                while await log_of(job) < 1:
                    await asyncio.sleep(0.01)
                print("busy", flush=True)
                await asyncio.to_thread(lambda: __import__("time").sleep(0.3))
                await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.2)
            print("cleaned up", flush=True)

async def log_of(job):
    return 0 if job.attempt is None or not job._delivery.idle.is_set() else 1

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
async def test_G6_a_process_that_is_asked_to_end_fails_its_jobs_as_retryable(
    server: NatsServer, job_id: str, asked: signal.Signals
) -> None:
    async with witness(server.url) as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", PROGRAM, server.url, job_id),
            cwd=HERE.parent,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            line = await process.stdout.readline()
            assert line == b"busy\n", (await process.communicate())[1].decode()
            process.send_signal(asked)
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        assert b"cleaned up" in output
        assert process.returncode == -asked
        for name in (job_id, f"{job_id}-2", f"{job_id}-3"):
            last = (await log.events(name))[-1].event
            assert (last["status"], last["error"]["code"]) == ("error", "cancelled")
            assert last["error"]["retryable"] is True
            assert last["error"]["message"] == f"The worker was stopped ({asked.name})."
        assert (await log.events(job_id))[-1].event["progress"] == 30


async def test_G6_the_ends_of_blocks_in_blocks_are_stored_when_a_reporter_stops(
    own_server: NatsServer,
) -> None:
    async with witness(own_server.url) as log, connect_reporter(own_server.url) as reporter:

        async def work() -> None:
            async with reporter.job("outer"), reporter.job("middle"), reporter.job("inner"):
                await asyncio.Event().wait()

        task = asyncio.ensure_future(work())
        await until("the jobs to run", lambda: len(reporter._heartbeats) == 3)
        for name in ("outer", "middle", "inner"):
            while not await log.events(name):
                pass
        # Nothing is acknowledged before the reporter is about to close.
        own_server.freeze()
        stopping = asyncio.ensure_future(reporter.stop())
        await until("it to close", lambda: reporter._is_closed)
        own_server.thaw()
        await stopping
        assert task.cancelled()
        for name in ("outer", "middle", "inner"):
            last = (await log.events(name))[-1].event
            assert (last["status"], last["error"]["code"]) == ("error", "cancelled"), name
