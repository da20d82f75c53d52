"""Whatever the job raises, and however the way to NATS is given: the end is told, and nothing else gets lost over it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from nats_server import NatsServer
from witness import witness

from headway_worker import (
    EventTooLargeError,
    InvalidEventError,
    Job,
    JobFailed,
    Options,
    Reporter,
    ReporterWarning,
    check_event,
    connect_reporter,
)


class Raising(Exception):
    """Of some libraries' exceptions an attribute is a property that raises."""

    def __init__(self, name: str) -> None:
        super().__init__("no")
        self._name = name

    def __getattribute__(self, name: str) -> Any:
        if name != "_name" and name == object.__getattribute__(self, "__dict__").get("_name"):
            raise RuntimeError("from the property")
        return super().__getattribute__(name)


@pytest.mark.parametrize("name", ["code", "details", "retryable"])
async def test_an_exception_whose_attribute_raises_fails_the_job_and_is_raised_itself(
    server: NatsServer, job_id: str, name: str
) -> None:
    async with witness(server.url) as log, connect_reporter(server.url) as reporter:
        error = Raising(name)
        with pytest.raises(Raising) as raised:
            async with reporter.job(job_id):
                raise error
        assert raised.value is error
        assert (await log.events(job_id))[-1].event["error"] == {
            "code": "Raising",
            "message": "no",
            "retryable": False,
        }


async def test_the_errors_of_this_package_have_the_codes_that_the_worker_for_node_gives(
    server: NatsServer, job_id: str
) -> None:
    async with witness(server.url) as log, connect_reporter(server.url) as reporter:
        for name, result, code in (("a", {1}, "invalid_event"), ("b", "x" * 70_000, "event_too_large")):

            async def work(_: object, result: object = result) -> object:
                return result

            with pytest.raises(ValueError):
                await reporter.run(job_id + name, work)
            assert (await log.events(job_id + name))[-1].event["error"]["code"] == code


async def test_whoever_is_told_of_trouble_may_report(server: NatsServer, job_id: str) -> None:
    kinds: list[str] = []
    jobs: list[Job] = []

    def told(warning: ReporterWarning) -> None:
        kinds.append(warning.kind)
        jobs[0].report(message="could not send the details")

    class Undetailed(Exception):
        details = object()

    options = Options(on_warning=told)
    async with witness(server.url) as log, connect_reporter(server.url, options) as reporter:
        with pytest.raises(Undetailed):
            async with reporter.job(job_id) as job:
                jobs.append(job)
                raise Undetailed
        assert kinds[0] == "event_truncated"
        assert (await log.shown(job_id))[-1] == (1, "error", 0)


async def test_what_nats_takes_none_so_large_of_is_sent_with_less(own_server: NatsServer) -> None:
    kinds: list[str] = []
    options = Options(on_warning=lambda warning: kinds.append(warning.kind), max_updates_per_second=1_000)
    async with witness(own_server.url) as log, connect_reporter(own_server.url, options) as reporter:
        await log.nc.jetstream().delete_stream("PROGRESS")
        await log.make_stream(max_msg_size=2_000)
        big = "x" * 6_000
        async with reporter.job("a", message=big[:4_000]) as job:
            job.report(progress=10, fields={"big": big})
            while len(await log.shown("a")) < 2:
                await asyncio.sleep(0.01)
        assert [(status, percent) for _, status, percent in await log.shown("a")] == [
            ("processing", 0),
            ("processing", 10),
            ("completed", 100),
        ]
        assert "event_truncated" in kinds

        async def work(job: Job) -> str:
            job.report(progress=70)
            return big

        with pytest.raises(EventTooLargeError, match="takes none so large"):
            await reporter.run("b", work)
        end = (await log.events("b"))[-1].event
        assert (end["status"], end["progress"], end["error"]["code"]) == ("error", 70, "event_too_large")

        with pytest.raises(JobFailed):
            async with reporter.job("c"):
                raise JobFailed(big, code="mine", retryable=True, details=big)
        error = (await log.events("c"))[-1].event["error"]
        assert error == {"code": "mine", "retryable": True, "message": "x" * 256}


async def test_several_addresses_in_one_text_as_an_edge_takes_them(server: NatsServer) -> None:
    async with connect_reporter(f"{server.url}, nats://127.0.0.1:9") as reporter:
        assert reporter.is_connected


async def test_what_an_environment_leaves_empty_counts_as_not_given(server: NatsServer) -> None:
    async with connect_reporter(server.url, user_credentials="") as reporter:
        assert reporter.is_connected


@pytest.mark.parametrize("servers", [[], "", " , "])
async def test_no_address_is_an_error_at_once(servers: list[str] | str) -> None:
    with pytest.raises(ValueError, match="servers"):
        connect_reporter(servers)


async def test_signs_of_life_do_not_take_all_the_time_there_is(server: NatsServer, job_id: str) -> None:
    async with witness(server.url) as log:
        reporter = Reporter(log.nc, Options())
        job = reporter.job(job_id, stall_after_seconds=1e-9)
        assert job.heartbeat_seconds == 0.05
        assert reporter.job(job_id, stall_after_seconds=3).heartbeat_seconds == 1


@pytest.mark.parametrize("name", ["eta_seconds", "stall_after_seconds", "timeout_seconds"])
def test_a_number_that_no_float_can_hold_is_none(name: str) -> None:
    event = {
        "processing_id": "a",
        "status": "processing",
        "progress": 5,
        "timestamp": "2026-01-31T12:00:00Z",
        name: 10**400,
    }
    issue = check_event(event)
    assert issue is not None and issue.path == f"/{name}"


async def test_a_job_with_such_a_number_is_refused_by_name(server: NatsServer, job_id: str) -> None:
    async with witness(server.url) as log:
        with pytest.raises(InvalidEventError, match="/stall_after_seconds"):
            Reporter(log.nc).job(job_id, stall_after_seconds=10**400)
