"""Runs coroutines as tests, and gives them a real nats-server."""

from __future__ import annotations

import asyncio
import inspect
import itertools
from pathlib import Path
from typing import Any, Iterator

import pytest
from nats_server import NatsServer

TEST_SECONDS = 20


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}

    async def bounded() -> Any:
        await asyncio.wait_for(pyfuncitem.obj(**arguments), TEST_SECONDS)

    asyncio.run(bounded())
    return True


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One for all tests that leave it alone."""
    with NatsServer(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[NatsServer]:
    """One to kill."""
    with NatsServer(tmp_path) as running:
        yield running


_numbers = itertools.count(1)


@pytest.fixture
def job_id() -> str:
    """A job that no other test has."""
    return f"job-{next(_numbers)}"
