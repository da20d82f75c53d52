"""Connections: given or made, given up, refused, and without the permission to read."""

from __future__ import annotations

import asyncio
from pathlib import Path

import nats
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


async def test_a_connection_that_is_given_is_left_open(server: NatsServer, job_id: str) -> None:
    async with witness(server.url) as log:
        async with Reporter(log.nc) as reporter:
            async with reporter.job(job_id):
                pass
        assert log.nc.is_connected
        assert (await log.shown(job_id))[-1] == (1, "completed", 100)


async def test_a_job_outlives_the_connection_that_was_given(server: NatsServer, job_id: str) -> None:
    troubles: list[Trouble] = []
    async with witness(server.url) as log:
        nc = await nats.connect(server.url)
        async with Reporter(nc, Options(on_trouble=troubles.append)) as reporter:
            async with reporter.job(job_id) as job:
                await nc.close()
                for progress in range(50):
                    job.report(progress=progress)
                assert await job.complete() is False
        assert "connection_closed" in [trouble.kind for trouble in troubles]
        assert await log.shown(job_id) == [(1, "processing", 0)]


PERMISSIONS = """
accounts {
  P {
    jetstream: enabled
    users: [{ user: admin, password: admin }]
    exports: [{ service: "progress.*" }, { service: "alive.progress.*" }]
  }
  W {
    users: [{
      user: worker, password: worker
      permissions: { publish: ["progress.*", "alive.progress.*"], subscribe: ["_INBOX.>"] }
    }]
    imports: [
      { service: { account: P, subject: "progress.*" } }
      { service: { account: P, subject: "alive.progress.*" } }
    ]
  }
}
"""


async def test_a_worker_that_may_not_read(tmp_path: Path) -> None:
    troubles: list[Trouble] = []
    with NatsServer(tmp_path, PERMISSIONS) as server:
        admin, worker = (server.url.replace("//", f"//{user}:{user}@") for user in ("admin", "worker"))
        options = Options(on_trouble=troubles.append, start_seconds=0.9, end_seconds=0.1, close_seconds=0.1)
        async with witness(admin) as log, connect_reporter(worker, options) as reporter:
            async with reporter.job("a") as job:
                job.report(progress=50)
            assert await log.shown("a") == [(1, "processing", 0), (1, "completed", 100)]
            assert troubles == []
            # Whoever cannot see that it is over must say which attempt this is.
            async with reporter.job("a"):
                pass
            assert len(await log.events("a")) == 2
            told = [trouble.message for trouble in troubles if trouble.kind == "attempt_unknown"]
            assert "$JS.API.STREAM.MSG.GET.PROGRESS: NATS does not permit it" in told[0]
        async with (
            witness(admin) as log,
            connect_reporter(worker, Options(on_trouble=troubles.append)) as reporter,
        ):
            with pytest.raises(SupersededError):
                async with reporter.job("a", attempt=2) as job:
                    assert job.attempt == 2
                    await log.publish("a", {**(await log.events("a"))[-1].event, "attempt": 3, "progress": 7})
                    job.report(progress=60)
                    await asyncio.wait_for(job.superseded.wait(), 5)
            assert (await log.shown("a"))[2:] == [(2, "processing", 0), (3, "processing", 7)]


async def test_settings_that_no_connection_can_be_made_with() -> None:
    with pytest.raises(Exception, match="invalid"):
        async with connect_reporter("nats://host:port"):
            pass


async def test_a_connection_that_the_client_gives_up_for_good_is_made_anew(
    server: NatsServer, job_id: str
) -> None:
    options = Options(on_trouble=ignore)
    async with witness(server.url) as log, proxied(server.port) as proxy:
        async with connect_reporter(proxy.url, options) as reporter, reporter.job(job_id) as job:
            given_up = reporter._connection.nc
            proxy.say(b"-ERR 'User Authentication Expired'")
            await until("the client to give up", lambda: given_up.is_closed)
            job.report(progress=50)
        assert (await log.shown(job_id))[-1] == (1, "completed", 100)


async def test_refused_credentials_are_told_and_break_nothing(tmp_path: Path) -> None:
    troubles: list[Trouble] = []
    with NatsServer(tmp_path, "authorization { user: a, password: b }") as server:
        options = Options(on_trouble=troubles.append, end_seconds=0.1, close_seconds=0.1)
        wrong = server.url.replace("//", "//a:wrong@")
        async with connect_reporter(wrong, options, wait_seconds=0.3, reconnect_time_wait=0.05) as reporter:
            async with reporter.job("a"):
                pass
        assert any(trouble.kind == "connection" and "uthorization" in trouble.message for trouble in troubles)
