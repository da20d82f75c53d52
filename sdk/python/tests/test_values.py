"""G8 bad input: values that say nothing never end a job, and what cannot be sent is named by its place."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from nats_server import NatsServer
from witness import witness

from headway_worker import (
    InvalidEventError,
    Options,
    ReporterWarning,
    Step,
    Timestamp,
    connect_reporter,
    default_encoder,
)
from headway_worker.state import JobState

AT = Timestamp(0, 0)


class Scalar:
    """As numpy's, which this suite does without."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __float__(self) -> float:
        return float(self.value)

    def tolist(self) -> Any:
        return self.value


class Raising:
    def __float__(self) -> float:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        raise RuntimeError("no")


def reported(**says: Any) -> tuple[dict[str, Any], list[str]]:
    told: list[str] = []
    state = JobState({"processing_id": "a"}, None, AT, on_unknown=told.append)
    state.report(AT, current=2, total=10)
    event: dict[str, Any] = json.loads(state.report(AT, **says).body(1))
    return event, told


NOWHERE = {"current": 2, "total": 10, "progress": 20}


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ({"progress": math.nan}, {}),
        ({"progress": -math.inf}, {}),
        ({"current": math.inf}, {}),
        ({"total": -1, "current": 5}, {"current": 5, "progress": 50}),
        ({"progress": Decimal("NaN")}, {}),
        ({"progress": "50"}, {}),
        ({"current": True}, {}),
        ({"current": Raising()}, {}),
        ({"current": Scalar(math.nan)}, {}),
        ({"current": 2**60}, {}),
        ({"eta_seconds": -1}, {}),
        ({"step": Step("s", math.nan, 3)}, {"step": {"name": "s", "total": 3}}),  # type: ignore[arg-type]
        ({"step": Step("s", -1, 3)}, {"step": {"name": "s", "total": 3}}),
    ],
)
def test_an_amount_that_says_nothing_is_taken_as_unknown(says: Any, expected: Any) -> None:
    event, told = reported(**says)
    assert {name: event.get(name) for name in {**NOWHERE, **expected}} == {**NOWHERE, **expected}
    assert len(told) == 1 and "it is taken as unknown" in told[0] and "eta_seconds" not in event


@pytest.mark.parametrize("five", [Decimal(5), Fraction(5), Scalar(5), 5.0])
def test_an_amount_may_be_of_any_kind_of_numbers(five: Any) -> None:
    assert reported(current=five) == ({**reported(current=5.0)[0]}, [])
    assert reported(progress=five)[0]["progress"] == 20
    assert reported(step=Step("s", five, Scalar(7)))[0]["step"] == {"name": "s", "index": 5, "total": 7}  # type: ignore[arg-type]


def test_what_a_result_holds_by_default() -> None:
    told: list[str] = []
    state = JobState({"processing_id": "a"}, None, AT, on_unknown=told.append)
    result = {
        "price": Decimal("1.10"),
        "id": UUID(int=1),
        "at": datetime(2026, 1, 31, 12, tzinfo=timezone.utc),
        "day": date(2026, 1, 31),
        "mean": Scalar(2.5),
        "rows": Scalar([1, [Scalar(2)]]),
        "pair": (1, None),
        3: [math.nan, -math.inf],
    }
    event = json.loads(state.complete(AT, result).body(1))
    assert event["result"] == {
        "price": "1.10",
        "id": "00000000-0000-0000-0000-000000000001",
        "at": "2026-01-31T12:00:00+00:00",
        "day": "2026-01-31",
        "mean": 2.5,
        "rows": [1, [2]],
        "pair": [1, None],
        "3": [None, None],
    }
    assert told == [
        f"/result/3/{at} is a number that JSON does not have; it is sent as null" for at in (0, 1)
    ]


@pytest.mark.parametrize(
    ("result", "path"),
    [
        ({"pages": [1, {"a/b": {2}}]}, "/result/pages/1/a~1b"),
        ([1, object()], "/result/1"),
        ({"x": {(1, 2): 3}}, "/result/x"),
        (lambda: 1, "/result"),
    ],
)
def test_what_cannot_be_sent_is_named_by_its_place(result: Any, path: str) -> None:
    state = JobState({"processing_id": "a"}, None, AT)
    with pytest.raises(InvalidEventError) as caught:
        state.complete(AT, result)
    assert caught.value.issue.path == path


def test_an_encoder_that_never_gets_there_ends() -> None:
    state = JobState({"processing_id": "a"}, None, AT, encoder=lambda _: object())
    with pytest.raises(InvalidEventError):
        state.complete(AT, object())
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(InvalidEventError, match="64 levels"):
        state.complete(AT, circle)


async def test_a_job_goes_on_tells_it_once_and_uses_the_encoder(server: NatsServer, job_id: str) -> None:
    warnings: list[ReporterWarning] = []

    def encoder(value: Any) -> Any:
        return sorted(value) if isinstance(value, set) else default_encoder(value)

    options = Options(on_warning=warnings.append, encoder=encoder)
    async with witness(server.url) as log, connect_reporter(server.url, options) as reporter:
        async with reporter.job(job_id, total=math.nan, fields={"tags": {"b", "a"}}) as job:
            for _ in range(5):
                job.report(progress=math.nan)
            await job.complete({"ids": {3, 1}, "price": Decimal(1)})
        last = (await log.events(job_id))[-1].event
        assert (last["status"], last["tags"], last["result"]) == (
            "completed",
            ["a", "b"],
            {"ids": [1, 3], "price": "1"},
        )
    assert [warning.kind for warning in warnings] == ["bad_value"]
    assert "/total is nan" in warnings[0].message
