"""A worker whose configuration, permission or server is wrong: it says so in plain words, and waits for nothing for ever."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js.api import DiscardPolicy, StreamConfig
from nats_server import NatsServer
from witness import Witness, ignore, until, witness

from headway_worker import (
    Check,
    InvalidEventError,
    NotAuthorizedError,
    NotPermittedError,
    Options,
    Reporter,
    ReporterWarning,
    connect_reporter,
)

QUIET = Options(on_warning=ignore, close_seconds=0.1)
FINE = Check(True, True, True, True, ())


def codes(check: Check) -> list[str]:
    return [problem.code for problem in check.problems]


async def test_a_check_of_a_reporter_that_can_do_everything(server: NatsServer, job_id: str) -> None:
    warnings: list[ReporterWarning] = []
    async with (
        witness(server.url) as log,
        connect_reporter(server.url, Options(on_warning=warnings.append)) as reporter,
    ):
        assert await reporter.check() == FINE
        async with reporter.job(job_id):
            pass
        checked = await reporter.check(job_id)
        assert checked == FINE and checked.ok
        assert len(await log.events(job_id)) == 2
        assert await log.events("headway-check") == []
        assert warnings == []
        with pytest.raises(InvalidEventError):
            await reporter.check("a b")


async def test_a_check_names_a_password_that_is_refused(tmp_path: Path) -> None:
    warnings: list[ReporterWarning] = []
    options = Options(on_warning=warnings.append, close_seconds=0.1)
    with NatsServer(tmp_path, "authorization { user: a, password: b }") as server:
        wrong = server.url.replace("//", "//a:wrong@")
        async with connect_reporter(wrong, options, reconnect_time_wait=0.02) as reporter:
            checked = await reporter.check()
            assert (checked.ok, codes(checked)) == (False, ["not_authorized"])
            assert "NATS refuses the credentials" in checked.problems[0].message
            # The end is not waited for without a limit.
            async with reporter.job("a"):
                pass
        assert [warning.kind for warning in warnings].count("not_authorized") == 1
        assert isinstance(warnings[0].error, NotAuthorizedError)
        assert "not_acknowledged" in [warning.kind for warning in warnings]
        assert all("wrong" not in warning.message for warning in warnings)


async def test_a_check_names_what_is_missing(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        async with connect_reporter(server.url, QUIET) as reporter:
            checked = await reporter.check()
            assert codes(checked) == ["no_stream", "not_readable"]
            assert all("run `headway init`" in problem.message for problem in checked.problems)
            server.kill()
            await until("it to be away", lambda: not reporter.is_connected)
            assert codes(await reporter.check(seconds=0.3))[0] == "disconnected"


async def test_G8_bad_input_a_check_names_the_address_where_NATS_cannot_be_reached_the_reason_and_no_password(
    tmp_path: Path,
) -> None:
    warnings: list[ReporterWarning] = []
    options = Options(on_warning=warnings.append, close_seconds=0.1, end_seconds=0.5)
    with NatsServer(tmp_path) as server:
        there = server.url.replace("localhost", "127.0.0.1")
        nc = await nats.connect(
            there, max_reconnect_attempts=-1, reconnect_time_wait=0.02, error_cb=ignore_error
        )
        server.kill()

    async def problem(servers: str | list[str]) -> str:
        async with connect_reporter(servers, options, wait_seconds=0.2, reconnect_time_wait=0.02) as reporter:
            checked = await reporter.check(seconds=0.3)
            assert (checked.ok, checked.connected, codes(checked)) == (False, False, ["disconnected"])
            return checked.problems[0].message

    refused = f"NATS cannot be reached at {there}: ECONNREFUSED"
    assert await problem(there) == f"{refused}."
    assert await problem(there.replace("//", "//user:p%40ss@")) == f"{refused}."
    two = [there.replace("//", "//user:p%40ss@"), there.replace("//", "//other:p%40ss@")]
    assert await problem(two) == f"NATS cannot be reached at {there} or {there}: ECONNREFUSED."
    unknown = await problem("nats://user:p%40ss@no-such-host.invalid:4222")
    assert unknown.startswith("NATS cannot be reached at nats://no-such-host.invalid:4222: ")
    given = Reporter(nc, options)
    await until("it to be refused", lambda: given.unreachable == refused)
    assert (await given.check(seconds=0.1)).problems[0].message == f"{refused}."
    async with given.job("a"):
        pass
    await given.close()
    await nc.close()
    told = [(warning.kind, warning.message) for warning in warnings]
    assert ("disconnected", f"{refused}; states are kept until it is back") in told
    of_client = [message for kind, message in told if kind == "connection"]
    assert of_client and all(message.startswith("the NATS client reports: ") for message in of_client)
    assert any(kind == "not_acknowledged" and f"({refused})" in message for kind, message in told)
    assert not any("p%40ss" in text or "user:" in text for text in [unknown, *(w.message for w in warnings)])


async def ignore_error(_: Exception) -> None:
    """A dial that failed."""


PERMISSIONS = """
authorization { users: [
  { user: admin, password: secret }
  { user: reader, password: secret, permissions: { publish: ["$JS.API.>"], subscribe: "_INBOX.>" } }
  { user: writer, password: secret, permissions: { publish: ["progress.*"], subscribe: "_INBOX.>" } }
  { user: deaf, password: secret, permissions: { publish: ["progress.*", "$JS.API.>"], subscribe: "x.>" } }
] }
"""


async def test_a_check_names_what_is_not_permitted(tmp_path: Path) -> None:
    with NatsServer(tmp_path, PERMISSIONS) as server:

        async def checked(user: str) -> Check:
            url = server.url.replace("//", f"//{user}:secret@")
            async with connect_reporter(url, QUIET) as reporter:
                return await reporter.check()

        async with witness(server.url.replace("//", "//admin:secret@")):
            reader = await checked("reader")
            assert (reader.can_publish, reader.can_read, codes(reader)) == (False, True, ["not_permitted"])
            assert "no permission to publish to progress.headway-check" in reader.problems[0].message
            writer = await checked("writer")
            assert (writer.can_publish, writer.is_acknowledged, writer.can_read) == (True, True, False)
            assert "permit to publish to $JS.API.DIRECT.GET" in writer.problems[0].message
            deaf = await checked("deaf")
            assert (deaf.can_publish, deaf.is_acknowledged, codes(deaf)[0]) == (False, False, "not_permitted")
            assert "no permission to subscribe to _INBOX.>" in deaf.problems[0].message


async def test_no_permission_to_publish_is_told_at_once_and_the_end_is_not_waited_for_long(
    tmp_path: Path,
) -> None:
    warnings: list[ReporterWarning] = []
    with NatsServer(tmp_path, PERMISSIONS) as server:
        url = server.url.replace("//", "//reader:secret@")
        options = Options(on_warning=warnings.append, close_seconds=0.1)
        async with (
            witness(server.url.replace("//", "//admin:secret@")),
            connect_reporter(url, options) as reporter,
        ):
            async with reporter.job("a") as job:
                assert await job.complete() is False
        error = warnings[0].error
        assert warnings[0].kind == "not_permitted" and isinstance(error, NotPermittedError)
        assert (error.operation, error.subjects) == ("publish", ("progress.a",))


@pytest.mark.parametrize("full", ["the server", "the stream"])
async def test_a_store_that_is_full_is_named_and_what_waited_is_stored_when_there_is_room(
    tmp_path: Path, full: str
) -> None:
    warnings: list[ReporterWarning] = []
    is_server = full == "the server"
    with NatsServer(tmp_path, "", "max_file_store: 1MB" if is_server else "") as server:
        nc = await nats.connect(server.url)
        js = nc.jetstream()
        bounded: dict[str, Any] = {} if is_server else {"max_bytes": 63_000, "discard": DiscardPolicy.NEW}
        await js.add_stream(
            StreamConfig(name="PROGRESS", subjects=["progress.*"], allow_direct=True, **bounded)
        )
        await js.add_stream(StreamConfig(name="OTHER", subjects=["other"]))
        filler = "other" if is_server else "progress.filler"
        while "error" not in json.loads((await nc.request(filler, b"x" * 60_000)).data):
            pass
        options = Options(on_warning=warnings.append, start_seconds=0, end_seconds=0.2)
        async with connect_reporter(server.url, options) as reporter:
            async with reporter.job("a", message="x" * 4_000) as job:
                assert await job.complete() is False
            assert warnings[0].kind == "retrying" and "storage is full" in warnings[0].message
            assert "storage is full" in warnings[-1].message
            checked = await reporter.check()
            assert (checked.ok, codes(checked)) == (False, ["storage_full"])
            await js.purge_stream("OTHER" if is_server else "PROGRESS")
            assert job._delivery is not None
            await asyncio.wait_for(asyncio.shield(job._delivery.done), 10)
            assert (await reporter.check()).ok
        assert (await Witness(nc).shown("a"))[-1] == (1, "completed", 100)
        await nc.close()


async def test_G6_an_end_is_waited_for_as_long_as_end_seconds_and_is_stored_when_it_can_be(
    tmp_path: Path,
) -> None:
    warnings: list[ReporterWarning] = []
    options = Options(on_warning=warnings.append, start_seconds=0, end_seconds=0.3)
    with NatsServer(tmp_path) as server:
        async with connect_reporter(server.url, options) as reporter:
            async with reporter.job("a") as job:
                assert await job.complete("done") is False
            told = [warning.message for warning in warnings if warning.kind == "not_acknowledged"]
            assert "run `headway init`" in told[0]
            async with witness(server.url) as log:
                delivery = job._delivery
                assert delivery is not None
                await until("the end to be stored", delivery.done.done)
                assert (await log.shown("a"))[-1] == (1, "completed", 100)
