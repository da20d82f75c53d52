"""The guides of README.md for Celery, RQ and Dramatiq, as they stand there, in workers of these queues."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nats_server import NatsServer, wait_for
from witness import witness

HERE = Path(__file__).parent
README = (HERE.parent / "README.md").read_text()
PAGES = ["one two", "three"]
# None has no words.
BROKEN = ["one two", None]
COMPLETED = [(1, "processing", None), (1, "completed", None)]
FAILED = [(1, True), (2, True), (3, False)]


def guide(name: str, folder: Path) -> None:
    """Writes what stands under a heading into ``tasks.py``."""
    found = re.search(rf"^### {name}\n.*?```python\n(.*?)```", README, re.MULTILINE | re.DOTALL)
    assert found is not None
    (folder / "tasks.py").write_text(found[1])


def environment(server: NatsServer, folder: Path, **more: str) -> dict[str, str]:
    path = os.pathsep.join((str(folder), str(HERE.parent), str(HERE)))
    return {**os.environ, "NATS_URL": server.url, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **more}


def events(server: NatsServer, job_id: str) -> list[dict[str, Any]]:
    async def read() -> list[dict[str, Any]]:
        async with witness(server.url) as log:
            return [dict(stored.event) for stored in await log.events(job_id)]

    return asyncio.run(read())


def run(program: str, server: NatsServer, folder: Path, **more: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environment(server, folder, **more),
        capture_output=True,
        timeout=40,
    )
    assert ended.returncode == 0, (ended.stdout + ended.stderr).decode()


def check(server: NatsServer, good: str, bad: str) -> None:
    def ended(job_id: str) -> list[dict[str, Any]] | None:
        found = events(server, job_id)
        over = [event for event in found if event["status"] != "processing"]
        is_closed = over and (over[-1]["status"] == "completed" or over[-1]["error"]["retryable"] is False)
        return found if is_closed else None

    done = wait_for(f"the end of {good}", lambda: ended(good), 40)
    assert (done[-1]["status"], done[-1]["result"], done[-1]["attempt"]) == ("completed", {"words": 3}, 1)
    failed = wait_for(f"the last failure of {bad}", lambda: ended(bad), 40)
    ends = [event for event in failed if event["status"] == "error"]
    assert [(event["attempt"], event["error"]["retryable"]) for event in ends] == FAILED
    assert {event["error"]["code"] for event in ends} == {"page_unreadable"}
    assert failed[-1]["progress"] == 50


needs = lambda name: pytest.mark.skipif(  # noqa: E731
    importlib.util.find_spec(name) is None, reason=f"{name} could not be installed"
)


@needs("celery")
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_the_guide_for_celery(server: NatsServer, job_id: str, tmp_path: Path, pool: str) -> None:
    guide("Celery", tmp_path)
    for folder in ("queue", "control"):
        (tmp_path / folder).mkdir()
    # A broker of files, since there is no other here. What it needs is not the guide's.
    with (tmp_path / "tasks.py").open("a") as tasks:
        tasks.write(
            "\napp.conf.broker_transport_options = "
            '{"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}\n'
        )
    good, bad = f"{job_id}-good", f"{job_id}-bad"
    events(server, good)
    broker = {"CELERY_BROKER_URL": "filesystem://"}
    send = f"import tasks; tasks.count_words.delay({good!r}, {PAGES!r}); tasks.count_words.delay({bad!r}, {BROKEN!r})"
    run(send, server, tmp_path, **broker)
    worker = ["celery", "-A", "tasks", "worker", "--pool", pool, "--concurrency", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", *worker, "--without-gossip", "--without-mingle", "--without-heartbeat"],
        cwd=tmp_path,
        env=environment(server, tmp_path, **broker),
        stdout=(tmp_path / "log").open("wb"),
        stderr=subprocess.STDOUT,
    )
    try:
        check(server, good, bad)
    except AssertionError as error:
        raise AssertionError((tmp_path / "log").read_text()) from error
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()


@needs("rq")
@needs("fakeredis")
def test_the_guide_for_rq(server: NatsServer, job_id: str, tmp_path: Path) -> None:
    from threading import Thread

    from fakeredis import TcpFakeServer

    guide("RQ", tmp_path)
    good, bad = f"{job_id}-good", f"{job_id}-bad"
    events(server, good)
    redis = TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    Thread(target=redis.serve_forever, daemon=True).start()
    try:
        url = f"redis://127.0.0.1:{redis.server_address[1]}"
        program = f"""
import tasks
from redis import Redis
from rq import Queue, Retry, Worker
# The server that stands in for Redis answers this one in a form that its client cannot read.
Redis.client_info = lambda self: {{"addr": "127.0.0.1:0"}}
redis = Redis.from_url({url!r})
queue = Queue(connection=redis)
queue.enqueue(tasks.count_words, {good!r}, {PAGES!r}, retry=Retry(max=2))
queue.enqueue(tasks.count_words, {bad!r}, {BROKEN!r}, retry=Retry(max=2))
Worker([queue], connection=redis).work(burst=True)
"""
        run(program, server, tmp_path)
        check(server, good, bad)
    finally:
        redis.shutdown()
        redis.server_close()


@needs("dramatiq")
def test_the_guide_for_dramatiq(server: NatsServer, job_id: str, tmp_path: Path) -> None:
    guide("Dramatiq", tmp_path)
    good, bad = f"{job_id}-good", f"{job_id}-bad"
    events(server, good)
    program = f"""
import dramatiq
from dramatiq.brokers.stub import StubBroker
broker = StubBroker()
dramatiq.set_broker(broker)
import tasks
worker = dramatiq.Worker(broker, worker_timeout=50, worker_threads=4)
worker.start()
tasks.count_words.send({good!r}, {PAGES!r})
tasks.count_words.send({bad!r}, {BROKEN!r})
broker.join("default", fail_fast=False)
worker.join()
worker.stop()
"""
    run(program, server, tmp_path)
    check(server, good, bad)
