"""The parts without I/O: fencing, the state, the estimate, the send queue."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from headway_worker import EventTooLargeError, InvalidEventError, Options, ReporterWarning, Step, Timestamp
from headway_worker.conflict_lookup import HiddenError, lookup_conflict
from headway_worker.failure import Failure, failure_of
from headway_worker.fencing import (
    LastMessage,
    Send,
    Stored,
    Superseded,
    Writer,
    resolve_conflict,
    resolve_start,
)
from headway_worker.jetstream import ReadError
from headway_worker.send_queue import OutgoingEvent, SendQueue
from headway_worker.state import JobState, RateEstimate
from headway_worker.warning import WarningLimiter

AT = Timestamp(1_769_860_800.5, 10.0)


def event(**fields: Any) -> dict[str, Any]:
    return {
        "processing_id": "a",
        "status": "processing",
        "progress": 5,
        "timestamp": "2026-01-31T12:00:00Z",
        **fields,
    }


def last(msg_id: str | None = "other.1.x", **fields: Any) -> LastMessage:
    return LastMessage(7, event(**fields), msg_id)


# --- G6 the end: who may write


@pytest.mark.parametrize(
    ("before", "requested", "decision"),
    [
        (None, None, Send(0, 1)),
        (None, 3, Send(0, 3)),
        (LastMessage(7, None, None), None, Send(7, 1)),
        (last(), None, Send(7, 1)),
        (last(attempt=2), None, Send(7, 3)),
        (last(status="completed"), None, Send(7, 2)),
        (last(attempt=2, status="error", error={"retryable": True}), None, Send(7, 3)),
        (last(attempt=2), 3, Send(7, 3)),
        (last(attempt=2), 2, Superseded("other_writer", 7)),
        (last(attempt=2), 1, Superseded("newer_attempt", 7)),
        (last(attempt=2, status="completed"), 2, Superseded("finished", 7)),
        (last(attempt=2, status="error", error={"code": "timeout"}), 2, Superseded("timeout", 7)),
    ],
)
def test_where_an_attempt_begins(before: LastMessage | None, requested: int | None, decision: object) -> None:
    starting = replace(WRITER, attempt=requested or 1, has_begun=False)
    assert resolve_start(before, requested, starting) == decision


@pytest.mark.parametrize(
    ("before", "requested", "is_in_dedup_window", "decision"),
    [
        (last(attempt=2), None, True, Send(7, 3)),
        (last(attempt=2), None, False, Superseded("newer_attempt", 7)),
        (last(attempt=2), 1, True, Superseded("newer_attempt", 7)),
        (last(attempt=1), None, True, Send(7, 2)),
        (last(attempt=1), None, False, Send(7, 2)),
    ],
)
def test_a_first_event_that_may_be_stored_finds_an_attempt(
    before: LastMessage, requested: int | None, is_in_dedup_window: bool, decision: object
) -> None:
    unsure = replace(
        WRITER, attempt=1, has_begun=False, may_be_stored=True, is_in_dedup_window=is_in_dedup_window
    )
    assert resolve_start(before, requested, unsure) == decision


@pytest.mark.parametrize(
    ("before", "decision"),
    [
        (None, Send(0, 2)),
        (last("mine.5.x", attempt=2), Stored(7)),
        (last("mine.4.x", attempt=2), Send(7, 2)),
        (last(attempt=1, status="completed"), Send(7, 2)),
        (last(), Send(7, 2)),
        (last(None, status="completed"), Superseded("finished", 7)),
        (last(attempt=2), Superseded("other_writer", 7)),
        (last(attempt=3), Superseded("newer_attempt", 7)),
        (LastMessage(7, None, None), Send(7, 2)),
    ],
)
def test_what_a_refused_sequence_means(before: LastMessage | None, decision: object) -> None:
    assert resolve_conflict(before, WRITER) == decision


# As an edge writes it.
def silent(msg_id: str | None = None, **fields: Any) -> LastMessage:
    error = {"code": "timeout", "retryable": True}
    return last(msg_id, **{"status": "error", "progress": 40, "error": error, **fields})


WRITER = Writer("mine.", "mine.5.x", 2, 40, has_begun=True, may_be_stored=False, is_in_dedup_window=True)


@pytest.mark.parametrize(
    ("before", "decision"),
    [
        (silent(attempt=2), Send(7, 2)),
        (silent(attempt=3), Superseded("newer_attempt", 7)),
        (silent(attempt=1), Send(7, 2)),
        (silent(), Send(7, 2)),
        # It tells of more than was reported.
        (silent(attempt=2, progress=41), Superseded("other_writer", 7)),
        # A worker that failed with that code.
        (silent("other.1.x", attempt=2), Superseded("timeout", 7)),
        # Ends.
        (silent(attempt=2, error={"code": "timeout", "retryable": False}), Superseded("timeout", 7)),
        (silent(error={"code": "timeout"}), Superseded("timeout", 7)),
    ],
)
def test_what_a_time_out_means(before: LastMessage, decision: object) -> None:
    assert resolve_conflict(before, WRITER) == decision


def test_a_time_out_without_an_attempt_is_of_the_first() -> None:
    assert resolve_conflict(silent(), replace(WRITER, attempt=1)) == Send(7, 1)


class Messages:
    """A job's messages, as a worker that may read all of them finds them, or the newest only."""

    def __init__(self, *found: LastMessage, may_look: bool = True) -> None:
        self.found = found
        self.may_look = may_look

    async def last(self, subject: str, at_least: int) -> LastMessage | None:
        return self.found[-1]

    async def range(self, subject: str, start: int, before: int, most: int) -> list[LastMessage]:
        if not self.may_look:
            raise ReadError("no", True, True, ("all",))
        return [one for one in self.found if start <= one.seq < before][:most]


def at(seq: int, message: LastMessage) -> LastMessage:
    return replace(message, seq=seq)


OWN = at(30, last("mine.4.x", attempt=2))
RUBBISH = LastMessage(40, None, None)


@pytest.mark.parametrize(
    ("found", "decision"),
    [
        ([OWN, RUBBISH], Send(40, 2)),
        ([OWN, at(35, last(attempt=2)), at(40, silent(attempt=2))], Superseded("other_writer", 40)),
        ([OWN, at(35, last("mine.5.x", attempt=2)), at(40, silent(attempt=2))], Stored(40)),
        ([OWN, at(35, last(attempt=3)), at(36, RUBBISH), RUBBISH], Superseded("newer_attempt", 40)),
        ([OWN, at(35, last(attempt=2, status="completed")), RUBBISH], Superseded("finished", 40)),
        ([OWN, at(35, silent(attempt=2)), RUBBISH], Send(40, 2)),
        (
            [OWN, at(34, last(attempt=2)), at(35, silent(attempt=2)), RUBBISH],
            Superseded("other_writer", 40),
        ),
        ([at(10, last(attempt=3)), at(12, RUBBISH)], Superseded("newer_attempt", 12)),
    ],
)
async def test_what_stands_beneath_the_newest_message(found: list[LastMessage], decision: object) -> None:
    assert resolve_conflict(await lookup_conflict(Messages(*found), "a", 40, 30, WRITER), WRITER) == decision


async def test_what_may_not_be_looked_at() -> None:
    with pytest.raises(HiddenError):
        await lookup_conflict(Messages(OWN, RUBBISH, may_look=False), "a", 40, 30, WRITER)
    # A timeout speaks for itself, and so does what follows at once.
    for newest in (at(40, silent(attempt=2)), at(31, RUBBISH)):
        assert await lookup_conflict(Messages(OWN, newest, may_look=False), "a", 40, 30, WRITER) == newest


async def test_a_first_event_finds_its_own_under_a_time_out() -> None:
    messages = Messages(at(5, last("mine.5.x", attempt=1)), at(40, silent(attempt=1)))
    first = replace(WRITER, attempt=1, has_begun=False, may_be_stored=True)
    found = await lookup_conflict(messages, "a", 40, 0, first)
    assert found is not None and (found.seq, found.msg_id) == (40, "mine.5.x")


# --- the state


def begun(**fields: Any) -> JobState:
    return JobState({"processing_id": "a", **fields}, None, AT)


def shown(outgoing: OutgoingEvent) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(outgoing.body(1))
    return found


def test_each_event_is_the_whole_state() -> None:
    state = begun(job_type="pdf", total=4, message="Started", timeout_seconds=9)
    state.report(AT, current=1, step=Step("read", 1, 2), fields={"pages": [1], "gone": 1})
    outgoing = state.report(AT, message="Second", fields={"gone": None})
    assert shown(outgoing) == {
        "attempt": 1,
        "processing_id": "a",
        "job_type": "pdf",
        "total": 4,
        "timeout_seconds": 9,
        "status": "processing",
        "progress": 25.0,
        "timestamp": "2026-01-31T12:00:00.500Z",
        "current": 1,
        "message": "Second",
        "step": {"name": "read", "index": 1, "total": 2},
        "pages": [1],
    }


def nested(levels: int) -> Any:
    return json.loads("[" * levels + "]" * levels)


def test_G8_what_is_nested_too_deeply_for_an_event_is_named_by_its_place() -> None:
    state = begun()
    assert shown(state.report(AT, fields={"own": nested(63)}))["own"] == nested(63)
    for raising in (
        lambda: state.report(AT, fields={"deep": nested(64)}),
        lambda: state.complete(AT, nested(64)),
        lambda: state.complete(AT, [nested(900)]),
        lambda: state.fail(AT, Failure("x", "y", False, nested(63))),
    ):
        with pytest.raises(InvalidEventError, match="64 levels") as caught:
            raising()
        assert caught.value.issue.path in ("/deep", "/result", "/error/details")


@pytest.mark.parametrize("seed", range(20))
def test_percent_never_falls_and_is_100_only_when_completed(seed: int) -> None:
    chance = random.Random(seed)
    state = begun(total=10)
    before = 0.0
    for _ in range(50):
        says: dict[str, Any] = {
            "progress": chance.choice([None, None, chance.uniform(-50, 150)]),
            "current": chance.choice([None, chance.uniform(-5, 15)]),
            "total": chance.choice([None, None, 0, chance.uniform(0, 20)]),
        }
        percent = shown(state.report(AT, **says))["progress"]
        assert before <= percent < 100
        before = percent
    if seed % 2:
        assert shown(state.fail(AT, Failure("x", "y", True)))["progress"] == before
    else:
        assert shown(state.complete(AT))["progress"] == 100


def test_a_message_alone_does_not_move_the_percent() -> None:
    state = begun(total=10)
    state.report(AT, progress=0, current=5)
    assert shown(state.report(AT, message="x"))["progress"] == 0


@pytest.mark.parametrize(
    ("says", "path"),
    [
        ({"message": 7}, "/message"),
        ({"step": {"name": "x"}}, "/step"),
        ({"indeterminate": 1}, "/indeterminate"),
        ({"fields": {"status": "completed"}}, "/status"),
        ({"fields": {"seq": 1}}, "/seq"),
        ({"fields": {"own": object()}}, "/own"),
        ({"fields": {"own": [1, {"a/b": {2}}]}}, "/own/1/a~1b"),
    ],
)
def test_what_no_event_can_hold_is_refused_and_changes_nothing(says: dict[str, Any], path: str) -> None:
    state = begun()
    before = state.report(AT, progress=10, message="before")
    with pytest.raises(InvalidEventError) as caught:
        state.report(AT, **{"message": "after", **says})
    assert caught.value.issue.path == path
    assert state.outgoing == before
    assert shown(state.report(AT))["message"] == "before"


def test_what_the_job_changes_later_is_not_sent() -> None:
    state = begun()
    pages = [1]
    state.report(AT, fields={"pages": pages})
    pages.append(2)
    assert shown(state.report(AT))["pages"] == [1]


def test_texts_for_people_are_shortened() -> None:
    state = begun()
    outgoing = state.report(AT, message="ä" * 5_000, step="x" * 300)
    assert shown(outgoing)["message"] == "ä" * 4_095 + "…"
    assert len(shown(outgoing)["step"]["name"]) == 256
    outgoing = state.fail(AT, Failure("c" * 200, "m" * 5_000, False))
    assert (len(shown(outgoing)["error"]["code"]), len(shown(outgoing)["error"]["message"])) == (128, 4_096)


def test_an_event_is_at_most_64_kib_whatever_its_attempt() -> None:
    room = 65_536 - len(begun().complete(AT, "").body(2**53 - 1))
    assert len(begun().complete(AT, "x" * room).body(2**53 - 1)) == 65_536
    state = begun()
    with pytest.raises(EventTooLargeError):
        state.complete(AT, "x" * (room + 1))
    assert state.outgoing.status == "processing"


def test_half_a_surrogate_pair_can_be_sent() -> None:
    assert shown(begun().report(AT, message="\ud83d"))["message"] == "\ud83d"


def test_the_end_leaves_out_what_was_true_only_while_it_ran() -> None:
    state = begun()
    state.report(AT, indeterminate=True, eta_seconds=5)
    state.report(AT, indeterminate=False, eta_seconds=5)
    assert not {"eta_seconds", "indeterminate"} & shown(state.complete(AT)).keys()


def test_what_a_job_failed_with() -> None:
    class Odd(Exception):
        code = "odd"
        retryable = True

        def details(self) -> str:
            return "gRPC has a method here"

    assert failure_of(Odd("why"), False) == Failure("odd", "why", True)
    assert failure_of(KeyError("k"), False) == Failure("KeyError", "'k'", False)
    assert failure_of(Exception(), False) == Failure("error", "Exception", False)
    assert "test_pure.py" not in str(failure_of(_raised(), False))
    assert "test_pure.py" in str(failure_of(_raised(), True).stack)


def _raised() -> ValueError:
    try:
        raise ValueError("x")
    except ValueError as error:
        return error


# --- the estimate


def test_an_eta_where_the_rate_is_steady() -> None:
    rate = RateEstimate()
    for tick in range(200):
        rate.add_sample(tick / 10, tick / 4)
    assert rate.seconds_left(20, 50) == 20
    assert RateEstimate().seconds_left(20, 50) is None


def test_no_eta_where_it_is_not() -> None:
    rate = RateEstimate()
    for tick in range(200):
        rate.add_sample(tick / 10, float(tick // 50) * 20)
    assert rate.seconds_left(20, 80) is None


def test_an_eta_reaches_the_event() -> None:
    state = begun()
    for tick in range(100):
        state.report(Timestamp(AT.wall, tick / 10), progress=tick / 2)
    assert shown(state.report(Timestamp(AT.wall, 10.0), progress=50))["eta_seconds"] == pytest.approx(
        10, abs=0.5
    )


# --- G9 memory is bounded: the send queue


@pytest.mark.parametrize("seed", range(50))
def test_the_first_and_the_newest_are_never_left_out(seed: int) -> None:
    chance = random.Random(seed)
    queue, taken = SendQueue(), list[OutgoingEvent]()
    puts = [OutgoingEvent("processing", str(number), b"{}") for number in range(30)]
    for outgoing in puts:
        queue.put(outgoing)
        while chance.random() < 0.3 and (next_one := queue.take()) is not None:
            taken.append(next_one)
    kept = 0
    while (next_one := queue.take()) is not None:
        taken.append(next_one)
        kept += 1
    assert kept <= 2
    assert taken[0] is puts[0]
    assert taken[-1] is puts[-1]
    assert taken == sorted(taken, key=puts.index)


# --- settings


def test_frequent_trouble_is_told_once_a_second_and_never_reaches_the_job() -> None:
    now = [0.0]
    told: list[ReporterWarning] = []

    def on_warning(warning: ReporterWarning) -> None:
        told.append(warning)
        raise RuntimeError("not the job's business")

    warn = WarningLimiter(Options(on_warning=on_warning, clock=lambda: Timestamp(0, now[0])))
    for now[0] in (0.0, 0.5, 0.9, 1.0):
        warn("retrying", "x")
        warn("superseded", "x")
    kinds = ["retrying", "superseded", "superseded", "superseded", "retrying", "superseded"]
    assert [warning.kind for warning in told] == kinds


def test_that_nats_is_away_is_told_when_it_begins_then_once_a_minute_and_anew_after_it_was_back() -> None:
    now = [0.0]
    told: list[str] = []
    warn = WarningLimiter(
        Options(on_warning=lambda warning: told.append(warning.kind), clock=lambda: Timestamp(0, now[0]))
    )
    for now[0] in range(0, 120, 5):
        warn("disconnected", "at each dial")
    assert told == ["disconnected", "disconnected"]
    warn("reconnected", "x")
    for kind in ("disconnected", "disconnected", "not_authorized", "not_authorized"):
        warn(kind, "x")  # type: ignore[arg-type]
    assert told[2:] == ["reconnected", "disconnected", "not_authorized"]
