"""G8 bad input: a check says what is wrong, in the same words as the worker for Node, which runs the same cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from nats_server import NatsServer
from witness import ignore, witness

from headway_worker import Check, CheckProblem, Options, connect_reporter

TOP = Path(__file__).parents[3]
CASES = json.loads((TOP / "test" / "harness" / "worker-checks.json").read_text("utf-8"))


def config_of(case: dict[str, Any]) -> str:
    """The configuration of a server, with the permissions of docs/nats less what the case takes away."""
    if not case.get("permissions"):
        return str(case.get("config", ""))
    text = (TOP / "docs" / "nats" / "permissions.conf").read_text("utf-8")

    def cut(what: str, by: str = "") -> None:
        nonlocal text
        user = case["login"].split(":")[0]
        at = text.index(what, text.index(f"user: {user}"))
        text = text[:at] + by + text[at + len(what) :]

    for what in case.get("without", "").split():
        # Where nothing is listed all is permitted, so something else is.
        cut(what, '"of-no-use"')
    if "notImported" in case:
        cut(f'{{ service: {{ account: PROGRESS, subject: "{case["notImported"]}" }} }}')
    return text


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_G8_a_check(case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for user in ("edge", "admin", "worker", "single", "reader", "operator"):
        monkeypatch.setenv(f"HEADWAY_{user.upper()}_PASSWORD", f"secret-of-{user}")
    with NatsServer(tmp_path, config_of(case), "" if case.get("jetstream", True) else None) as server:

        def url_of(login: str) -> str:
            return server.url.replace("//", f"//{login}@" if login else "//")

        async def check() -> Check:
            prefix = {"inbox_prefix": case["inboxPrefix"]} if "inboxPrefix" in case else {}
            asked = (case["processingId"],) if "processingId" in case else ()
            options = Options(on_warning=ignore, close_seconds=0)
            async with connect_reporter(url_of(case.get("login", "")), options, **prefix) as reporter:
                return await reporter.check(*asked)

        if case.get("stream"):
            async with witness(url_of("admin:secret-of-admin")):
                checked = await check()
        else:
            checked = await check()
    can = case["can"]
    assert checked == Check(
        can["connected"],
        can["canPublish"],
        can["isAcknowledged"],
        can["canRead"],
        tuple(CheckProblem(problem["code"], problem["message"]) for problem in case["problems"]),
    )
    assert checked.ok == (case["problems"] == [])
