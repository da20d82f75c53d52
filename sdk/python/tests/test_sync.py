"""The reporter for programs without asyncio: blocks, threads, forked processes, and the end of the program."""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from nats_server import NatsServer
from witness import Stored, ignore, witness

from headway_worker import JobFailed, Options, SupersededError
from headway_worker import connect_reporter as connect_async
from headway_worker.sync import Job, Reporter, connect_reporter

HERE = Path(__file__).parent


@pytest.fixture
def reporter(server: NatsServer) -> Iterator[Reporter]:
    stored(server, "none")
    with connect_reporter(server.url, Options(on_warning=ignore)) as made:
        yield made


def stored(server: NatsServer, job_id: str) -> list[Stored]:
    async def read() -> list[Stored]:
        async with witness(server.url) as log:
            return await log.events(job_id)

    return asyncio.run(read())


def shown(server: NatsServer, job_id: str) -> list[tuple[Any, ...]]:
    events = [one.event for one in stored(server, job_id)]
    return [(event["attempt"], event["status"], event["progress"]) for event in events]


def test_a_block_reports_completes_and_fails(server: NatsServer, reporter: Reporter, job_id: str) -> None:
    with reporter.job(job_id, job_type="pdf.words", total=4) as job:
        assert job.attempt == 1 and reporter.is_connected
        job.report(current=2, message="half", fields={"words": 7})
        assert job.complete({"words": 17}) is True
    last = stored(server, job_id)[-1].event
    assert (last["status"], last["result"], last["words"]) == ("completed", {"words": 17}, 7)
    with pytest.raises(JobFailed):
        with reporter.job(job_id):
            raise JobFailed("Page 7 is damaged", code="page_unreadable", retryable=True)
    last = stored(server, job_id)[-1].event
    assert (last["attempt"], last["error"]["code"], last["error"]["retryable"]) == (
        2,
        "page_unreadable",
        True,
    )
    with reporter.job(job_id) as job:
        assert job.fail("given up", code="given_up") is True
    assert shown(server, job_id)[-1] == (3, "error", 0)
    assert reporter.check(job_id).ok


def test_a_plain_function_is_run(server: NatsServer, reporter: Reporter, job_id: str) -> None:
    def work(job: Job) -> int:
        job.report(progress=50)
        return 17

    assert reporter.run(job_id, work, job_type="x") == 17
    assert stored(server, job_id)[-1].event["result"] == 17


async def test_a_plain_function_is_run_in_a_thread_where_there_is_asyncio(
    server: NatsServer, job_id: str
) -> None:
    async with witness(server.url) as log, connect_async(server.url) as reporter:
        loop_turns = threading.Event()

        def work(job: Any) -> int:
            job.report(progress=50)
            # Only a loop that turns meanwhile sets it.
            assert loop_turns.wait(10)
            return 17

        asyncio.get_running_loop().call_later(0.05, loop_turns.set)
        assert await reporter.run(job_id, work) == 17
        assert (await log.events(job_id))[-1].event["result"] == 17

        async def waiting() -> str:
            return "awaited"

        assert await reporter.run(job_id, lambda _: waiting()) == "awaited"
        assert (await log.events(job_id))[-1].event["result"] == "awaited"


def test_many_threads_share_a_reporter(server: NatsServer, reporter: Reporter, job_id: str) -> None:
    def work(number: int) -> None:
        with reporter.job(f"{job_id}-{number}", total=3) as job:
            for current in range(3):
                job.report(current=current + 1)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(48)))
    for number in range(48):
        assert shown(server, f"{job_id}-{number}")[-1] == (1, "completed", 100)


def forked(work: Callable[[], None]) -> int | None:
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(20)
    if child.is_alive():
        child.kill()
    return child.exitcode


def test_a_forked_process_has_a_connection_of_its_own(
    server: NatsServer, reporter: Reporter, job_id: str
) -> None:
    def work(name: str) -> None:
        with reporter.job(f"{job_id}-{name}") as job:
            job.report(progress=50)

    # Not only before its first use, and not only once; and its parent goes on.
    for number in range(3):
        assert forked(lambda: work(f"child-{number}")) == 0
        work(f"parent-{number}")
    for number in range(3):
        for kind in ("child", "parent"):
            assert shown(server, f"{job_id}-{kind}-{number}")[-1] == (1, "completed", 100)


def test_a_job_is_of_the_process_that_began_it(server: NatsServer, reporter: Reporter, job_id: str) -> None:
    with reporter.job(job_id) as job:

        def child() -> None:
            with pytest.raises(RuntimeError, match="not of its child"):
                job.report(progress=10)
            # As at the end of the block.
            job.__exit__(None, None, None)

        assert forked(child) == 0
        job.report(progress=50)
        job.complete()
    assert shown(server, job_id)[-1] == (1, "completed", 100)
    assert [status for _, status, _ in shown(server, job_id)].count("completed") == 1


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
def test_G6_what_ends_the_process_fails_the_job_as_retryable(
    server: NatsServer, reporter: Reporter, job_id: str, ending: type[BaseException]
) -> None:
    with pytest.raises(ending):
        with reporter.job(job_id):
            raise ending
    error = stored(server, job_id)[-1].event["error"]
    assert (error["code"], error["retryable"]) == ("cancelled", True)


def test_G6_a_worker_that_lost_its_job_is_told(server: NatsServer, reporter: Reporter, job_id: str) -> None:
    with pytest.raises(SupersededError):
        with reporter.job(job_id) as old:
            with reporter.job(job_id) as new:
                assert new.attempt == 2
                for _ in range(1_000):
                    old.report(progress=10)
                    threading.Event().wait(0.01)
    assert old.is_superseded
    assert shown(server, job_id)[-1] == (2, "error", 0)


def test_the_end_of_the_program_sends_what_is_pending(server: NatsServer, job_id: str) -> None:
    stored(server, "none")
    program = """
import sys
from headway_worker.sync import connect_reporter
job = connect_reporter(sys.argv[1]).job(sys.argv[2]).__enter__()
for progress in range(51):
    job.report(progress=progress)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program, server.url, job_id], cwd=HERE.parent, timeout=20, capture_output=True
    )
    assert ended.returncode == 0, ended.stderr.decode()
    assert shown(server, job_id)[-1] == (1, "processing", 50)


def test_a_reporter_that_is_closed_or_waits_for_itself_says_so(server: NatsServer, job_id: str) -> None:
    told: list[str] = []

    def on_warning(_: object) -> None:
        try:
            reporter.check()
        except RuntimeError as error:
            told.append(str(error))

    stored(server, "none")
    reporter = connect_reporter(server.url, Options(on_warning=on_warning))
    with reporter.job(job_id) as job:
        job.complete()
        job.report(message="late")
    reporter.check()
    assert "cannot wait for itself" in told[0]
    reporter.close()
    reporter.close()
    with pytest.raises(RuntimeError, match="closed"):
        reporter.job(job_id)
    with pytest.raises(ValueError):
        connect_reporter(" , ")
