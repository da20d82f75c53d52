"""Connections: given or made, given up, refused, and without the permission to read."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Iterator

import nats
import pytest
from nats_server import NatsServer
from proxy import proxied
from witness import ignore, until, witness

from headway_worker import (
    NotPermittedError,
    Options,
    Reporter,
    ReporterWarning,
    SupersededError,
    connect_reporter,
)


async def test_a_connection_that_is_given_is_left_open(server: NatsServer, job_id: str) -> None:
    async with witness(server.url) as log:
        async with Reporter(log.nc) as reporter:
            async with reporter.job(job_id):
                pass
        assert log.nc.is_connected
        assert (await log.shown(job_id))[-1] == (1, "completed", 100)


async def test_a_job_outlives_the_connection_that_was_given(server: NatsServer, job_id: str) -> None:
    warnings: list[ReporterWarning] = []
    async with witness(server.url) as log:
        nc = await nats.connect(server.url)
        async with Reporter(nc, Options(on_warning=warnings.append)) as reporter:
            async with reporter.job(job_id) as job:
                await nc.close()
                for progress in range(50):
                    job.report(progress=progress)
                assert await job.complete() is False
        assert "connection_closed" in [warning.kind for warning in warnings]
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
    warnings: list[ReporterWarning] = []
    with NatsServer(tmp_path, PERMISSIONS) as server:
        admin, worker = (server.url.replace("//", f"//{user}:{user}@") for user in ("admin", "worker"))
        options = Options(on_warning=warnings.append, start_seconds=0.9, end_seconds=0.1, close_seconds=0.1)
        async with witness(admin) as log, connect_reporter(worker, options) as reporter:
            async with reporter.job("a") as job:
                job.report(progress=50)
            assert await log.shown("a") == [(1, "processing", 0), (1, "completed", 100)]
            assert warnings == []
            # Whoever cannot see that it is over must say which attempt this is.
            async with reporter.job("a"):
                pass
            assert len(await log.events("a")) == 2
            told = [warning.message for warning in warnings if warning.kind == "attempt_unknown"]
            assert "$JS.API.STREAM.MSG.GET.PROGRESS: NATS does not permit it" in told[0]
            missing = [warning.error for warning in warnings if warning.error is not None][0]
            assert isinstance(missing, NotPermittedError)
            assert missing.subjects == (
                "$JS.API.DIRECT.GET.PROGRESS.progress.a",
                "$JS.API.STREAM.MSG.GET.PROGRESS",
            )
        async with (
            witness(admin) as log,
            connect_reporter(worker, Options(on_warning=warnings.append)) as reporter,
        ):
            with pytest.raises(SupersededError):
                async with reporter.job("a", attempt=2) as job:
                    assert job.attempt == 2
                    await log.publish("a", {**(await log.events("a"))[-1].event, "attempt": 3, "progress": 7})
                    job.report(progress=60)
                    await asyncio.wait_for(job.superseded.wait(), 5)
            assert (await log.shown("a"))[2:] == [(2, "processing", 0), (3, "processing", 7)]


# Workers as docs/nats/permissions.conf has them.
PERMISSIONS_OF_DOCS = Path(__file__).parents[3] / "docs" / "nats" / "permissions.conf"
USERS = ("edge", "admin", "worker", "single", "reader", "operator")


@pytest.fixture
def docs_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NatsServer]:
    for user in USERS:
        monkeypatch.setenv(f"HEADWAY_{user.upper()}_PASSWORD", f"p{user}")
    # An include is relative to the file that it stands in.
    with NatsServer(tmp_path, f'include "{os.path.relpath(PERMISSIONS_OF_DOCS, tmp_path)}"') as server:
        yield server


async def test_G6_with_the_permissions_of_the_documents(docs_server: NatsServer) -> None:
    warnings: list[ReporterWarning] = []
    options = Options(on_warning=warnings.append, ack_seconds=1)
    admin, worker, single = (
        docs_server.url.replace("//", f"//{user}:p{user}@") for user in ("admin", "worker", "single")
    )
    async with witness(admin) as log, connect_reporter(worker, options) as reporter:
        async with reporter.job("a"):
            pass
        async with reporter.job("a") as job:
            assert job.attempt == 2
            # Between its own events there are others'.
            await log.publish("b", b"another job")
            await log.time_out("a")
        assert await log.shown("a") == [
            (1, "processing", 0),
            (1, "completed", 100),
            (2, "processing", 0),
            (2, "error", 0),
            (2, "completed", 100),
        ]
        async with connect_reporter(single, options, inbox_prefix=b"_INBOX_single") as trusted:
            for attempt in (1, 2):
                async with trusted.job("job-1") as job:
                    assert job.attempt == attempt
        assert warnings == []
        # Beneath what is no event it may not look: nothing is written over it, and the job goes on.
        async with reporter.job("a") as job:
            await log.publish("b", b"another job")
            await log.publish("a", b"rubbish")
            job.report(progress=50)
            told = await until(
                "it to say what is missing",
                lambda: [warning for warning in warnings if warning.kind == "not_permitted"],
            )
            assert told[0].error is not None
            assert told[0].error.subjects == ("$JS.API.STREAM.MSG.GET.PROGRESS",)
            assert not job.superseded.is_set()
            await log.purge("a")
        assert await log.shown("a") == [(3, "processing", 50), (3, "completed", 100)]


async def test_a_connection_that_the_client_gives_up_for_good_is_made_anew(
    server: NatsServer, job_id: str
) -> None:
    options = Options(on_warning=ignore)
    async with witness(server.url) as log, proxied(server.port) as proxy:
        async with connect_reporter(proxy.url, options) as reporter, reporter.job(job_id) as job:
            given_up = reporter._connection.nc
            proxy.say(b"-ERR 'User Authentication Expired'")
            await until("the client to give up", lambda: given_up.is_closed)
            job.report(progress=50)
        assert (await log.shown(job_id))[-1] == (1, "completed", 100)


async def test_refused_credentials_are_told_and_break_nothing(tmp_path: Path) -> None:
    warnings: list[ReporterWarning] = []
    with NatsServer(tmp_path, "authorization { user: a, password: b }") as server:
        options = Options(on_warning=warnings.append, end_seconds=0.1, close_seconds=0.1)
        wrong = server.url.replace("//", "//a:wrong@")
        async with connect_reporter(wrong, options, wait_seconds=0.3, reconnect_time_wait=0.05) as reporter:
            async with reporter.job("a"):
                pass
        assert any(
            warning.kind == "not_authorized" and "uthorization" in warning.message for warning in warnings
        )


SILENT = """
authorization { users: [
  { user: admin, password: secret }
  { user: silent, password: secret, permissions: { publish: ["progress.*", "$JS.API.>"], subscribe: "_INBOX.>" } }
  { user: deaf, password: secret, permissions: { publish: ["progress.*", "$JS.API.>"], subscribe: "x.>" } }
] }
"""


async def test_signs_of_life_that_are_not_permitted_are_told_and_the_job_goes_on(tmp_path: Path) -> None:
    warnings: list[ReporterWarning] = []
    options = Options(on_warning=warnings.append, heartbeat_seconds=0.05)
    with NatsServer(tmp_path, SILENT) as server:
        admin, silent = (server.url.replace("//", f"//{user}:secret@") for user in ("admin", "silent"))
        async with witness(admin) as log, connect_reporter(silent, options) as reporter:
            async with reporter.job("a"):
                await until("it to say so", lambda: warnings)
            assert (await log.shown("a"))[-1] == (1, "completed", 100)
    assert [(warning.kind, warning.message) for warning in warnings] == [
        ("not_permitted", "NATS refuses: publish to alive.progress.a")
    ]


async def test_an_inbox_of_its_own_that_is_not_permitted_is_told_once(tmp_path: Path) -> None:
    warnings: list[ReporterWarning] = []
    options = Options(on_warning=warnings.append, close_seconds=0.1, end_seconds=0.1)
    with NatsServer(tmp_path, SILENT) as server:
        admin, deaf = (server.url.replace("//", f"//{user}:secret@") for user in ("admin", "deaf"))
        async with witness(admin), connect_reporter(deaf, options, inbox_prefix="Own.box") as reporter:
            async with reporter.job("a"):
                pass
    assert {warning.kind for warning in warnings} == {"not_permitted", "not_acknowledged"}
    assert "no permission to subscribe to Own.box.>" in warnings[0].message
