"""The parts without I/O: fencing, the state, the estimate, the mailbox."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from headway_worker import EventTooLargeError, InvalidEventError, Moment, Options, Step, Trouble
from headway_worker.eta import Eta
from headway_worker.conflict_lookup import HiddenError, inquire
from headway_worker.jetstream import ReadError
from headway_worker.failure import Failure, failure_of
from headway_worker.fencing import Go, Last, Stored, Superseded, Writer, begin, judge
from headway_worker.send_queue import Draft, Mailbox
from headway_worker.options import Teller
from headway_worker.state import JobState

AT = Moment(1_769_860_800.5, 10.0)


def event(**fields: Any) -> dict[str, Any]:
    return {
        "processing_id": "a",
        "status": "processing",
        "progress": 5,
        "timestamp": "2026-01-31T12:00:00Z",
        **fields,
    }


def last(msg_id: str | None = "other.1.x", **fields: Any) -> Last:
    return Last(7, event(**fields), msg_id)


# --- G6 the end: who may write


@pytest.mark.parametrize(
    ("before", "wanted", "verdict"),
    [
        (None, None, Go(0, 1)),
        (None, 3, Go(0, 3)),
        (Last(7, None, None), None, Go(7, 1)),
        (last(), None, Go(7, 1)),
        (last(attempt=2), None, Go(7, 3)),
        (last(status="completed"), None, Go(7, 2)),
        (last(attempt=2, status="error", error={"retryable": True}), None, Go(7, 3)),
        (last(attempt=2), 3, Go(7, 3)),
        (last(attempt=2), 2, Superseded("other_writer", 7)),
        (last(attempt=2), 1, Superseded("newer_attempt", 7)),
        (last(attempt=2, status="completed"), 2, Superseded("finished", 7)),
        (last(attempt=2, status="error", error={"code": "timeout"}), 2, Superseded("timeout", 7)),
    ],
)
def test_where_an_attempt_begins(before: Last | None, wanted: int | None, verdict: object) -> None:
    starting = replace(WRITER, attempt=wanted or 1, has_begun=False)
    assert begin(before, wanted, starting) == verdict


@pytest.mark.parametrize(
    ("before", "wanted", "is_known_again", "verdict"),
    [
        (last(attempt=2), None, True, Go(7, 3)),
        (last(attempt=2), None, False, Superseded("newer_attempt", 7)),
        (last(attempt=2), 1, True, Superseded("newer_attempt", 7)),
        (last(attempt=1), None, True, Go(7, 2)),
        (last(attempt=1), None, False, Go(7, 2)),
    ],
)
def test_a_first_event_that_may_be_stored_finds_an_attempt(
    before: Last, wanted: int | None, is_known_again: bool, verdict: object
) -> None:
    unsure = replace(WRITER, attempt=1, has_begun=False, is_unsure=True, is_known_again=is_known_again)
    assert begin(before, wanted, unsure) == verdict


@pytest.mark.parametrize(
    ("before", "verdict"),
    [
        (None, Go(0, 2)),
        (last("mine.5.x", attempt=2), Stored(7)),
        (last("mine.4.x", attempt=2), Go(7, 2)),
        (last(attempt=1, status="completed"), Go(7, 2)),
        (last(), Go(7, 2)),
        (last(None, status="completed"), Superseded("finished", 7)),
        (last(attempt=2), Superseded("other_writer", 7)),
        (last(attempt=3), Superseded("newer_attempt", 7)),
        (Last(7, None, None), Go(7, 2)),
    ],
)
def test_what_a_refused_sequence_means(before: Last | None, verdict: object) -> None:
    assert judge(before, WRITER) == verdict


# As an edge writes it.
def silent(msg_id: str | None = None, **fields: Any) -> Last:
    error = {"code": "timeout", "retryable": True}
    return last(msg_id, **{"status": "error", "progress": 40, "error": error, **fields})


WRITER = Writer("mine.", "mine.5.x", 2, 40, has_begun=True, is_unsure=False, is_known_again=True)


@pytest.mark.parametrize(
    ("before", "verdict"),
    [
        (silent(attempt=2), Go(7, 2)),
        (silent(attempt=3), Superseded("newer_attempt", 7)),
        (silent(attempt=1), Go(7, 2)),
        (silent(), Go(7, 2)),
        # It tells of more than was reported.
        (silent(attempt=2, progress=41), Superseded("other_writer", 7)),
        # A worker that failed with that code.
        (silent("other.1.x", attempt=2), Superseded("timeout", 7)),
        # Ends.
        (silent(attempt=2, error={"code": "timeout", "retryable": False}), Superseded("timeout", 7)),
        (silent(error={"code": "timeout"}), Superseded("timeout", 7)),
    ],
)
def test_what_a_time_out_means(before: Last, verdict: object) -> None:
    assert judge(before, WRITER) == verdict


def test_a_time_out_without_an_attempt_is_of_the_first() -> None:
    assert judge(silent(), replace(WRITER, attempt=1)) == Go(7, 1)


class Messages:
    """A job's messages, as a worker that may read all of them finds them, or the newest only."""

    def __init__(self, *found: Last, may_look: bool = True) -> None:
        self.found = found
        self.may_look = may_look

    async def last(self, subject: str, at_least: int) -> Last | None:
        return self.found[-1]

    async def range(self, subject: str, start: int, before: int, most: int) -> list[Last]:
        if not self.may_look:
            raise ReadError("no", True, True, ("all",))
        return [one for one in self.found if start <= one.seq < before][:most]


def at(seq: int, message: Last) -> Last:
    return replace(message, seq=seq)


OWN = at(30, last("mine.4.x", attempt=2))
RUBBISH = Last(40, None, None)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ([OWN, RUBBISH], Go(40, 2)),
        ([OWN, at(35, last(attempt=2)), at(40, silent(attempt=2))], Superseded("other_writer", 40)),
        ([OWN, at(35, last("mine.5.x", attempt=2)), at(40, silent(attempt=2))], Stored(40)),
        ([OWN, at(35, last(attempt=3)), at(36, RUBBISH), RUBBISH], Superseded("newer_attempt", 40)),
        ([OWN, at(35, last(attempt=2, status="completed")), RUBBISH], Superseded("finished", 40)),
        ([OWN, at(35, silent(attempt=2)), RUBBISH], Go(40, 2)),
        (
            [OWN, at(34, last(attempt=2)), at(35, silent(attempt=2)), RUBBISH],
            Superseded("other_writer", 40),
        ),
        ([at(10, last(attempt=3)), at(12, RUBBISH)], Superseded("newer_attempt", 12)),
    ],
)
async def test_what_stands_beneath_the_newest_message(found: list[Last], verdict: object) -> None:
    assert judge(await inquire(Messages(*found), "a", 40, 30, WRITER), WRITER) == verdict


async def test_what_may_not_be_looked_at() -> None:
    with pytest.raises(HiddenError):
        await inquire(Messages(OWN, RUBBISH, may_look=False), "a", 40, 30, WRITER)
    # A time-out speaks for itself, and so does what follows at once.
    for newest in (at(40, silent(attempt=2)), at(31, RUBBISH)):
        assert await inquire(Messages(OWN, newest, may_look=False), "a", 40, 30, WRITER) == newest


async def test_a_first_event_finds_its_own_under_a_time_out() -> None:
    messages = Messages(at(5, last("mine.5.x", attempt=1)), at(40, silent(attempt=1)))
    first = replace(WRITER, attempt=1, has_begun=False, is_unsure=True)
    found = await inquire(messages, "a", 40, 0, first)
    assert found is not None and (found.seq, found.msg_id) == (40, "mine.5.x")


# --- the state


def begun(**fields: Any) -> JobState:
    return JobState({"processing_id": "a", **fields}, None, AT)


def shown(draft: Draft) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(draft.body(1))
    return found


def test_each_event_is_the_whole_state() -> None:
    state = begun(job_type="pdf", total=4, message="Started", timeout_seconds=9)
    state.report(AT, current=1, step=Step("read", 1, 2), fields={"pages": [1], "gone": 1})
    draft = state.report(AT, message="Second", fields={"gone": None})
    assert shown(draft) == {
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
        assert caught.value.flaw.path in ("/deep", "/result", "/error/details")


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
    assert caught.value.flaw.path == path
    assert state.draft == before
    assert shown(state.report(AT))["message"] == "before"


def test_what_the_job_changes_later_is_not_sent() -> None:
    state = begun()
    pages = [1]
    state.report(AT, fields={"pages": pages})
    pages.append(2)
    assert shown(state.report(AT))["pages"] == [1]


def test_texts_for_people_are_shortened() -> None:
    state = begun()
    draft = state.report(AT, message="ä" * 5_000, step="x" * 300)
    assert shown(draft)["message"] == "ä" * 4_095 + "…"
    assert len(shown(draft)["step"]["name"]) == 256
    draft = state.fail(AT, Failure("c" * 200, "m" * 5_000, False))
    assert (len(shown(draft)["error"]["code"]), len(shown(draft)["error"]["message"])) == (128, 4_096)


def test_an_event_is_at_most_64_kib_whatever_its_attempt() -> None:
    room = 65_536 - len(begun().complete(AT, "").body(2**53 - 1))
    assert len(begun().complete(AT, "x" * room).body(2**53 - 1)) == 65_536
    state = begun()
    with pytest.raises(EventTooLargeError):
        state.complete(AT, "x" * (room + 1))
    assert state.draft.status == "processing"


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
    eta = Eta()
    for tick in range(200):
        eta.note(tick / 10, tick / 4)
    assert eta.seconds_left(20, 50) == 20
    assert Eta().seconds_left(20, 50) is None


def test_no_eta_where_it_is_not() -> None:
    eta = Eta()
    for tick in range(200):
        eta.note(tick / 10, float(tick // 50) * 20)
    assert eta.seconds_left(20, 80) is None


def test_an_eta_reaches_the_event() -> None:
    state = begun()
    for tick in range(100):
        state.report(Moment(AT.wall, tick / 10), progress=tick / 2)
    assert shown(state.report(Moment(AT.wall, 10.0), progress=50))["eta_seconds"] == pytest.approx(
        10, abs=0.5
    )


# --- G9 memory is bounded: the mailbox


@pytest.mark.parametrize("seed", range(50))
def test_the_first_and_the_newest_are_never_left_out(seed: int) -> None:
    chance = random.Random(seed)
    mailbox, taken = Mailbox(), list[Draft]()
    puts = [Draft("processing", str(number), b"{}") for number in range(30)]
    for draft in puts:
        mailbox.put(draft)
        while chance.random() < 0.3 and (next_one := mailbox.take()) is not None:
            taken.append(next_one)
    kept = 0
    while (next_one := mailbox.take()) is not None:
        taken.append(next_one)
        kept += 1
    assert kept <= 2
    assert taken[0] is puts[0]
    assert taken[-1] is puts[-1]
    assert taken == sorted(taken, key=puts.index)


# --- settings


def test_frequent_trouble_is_told_once_a_second_and_never_reaches_the_job() -> None:
    now = [0.0]
    told: list[Trouble] = []

    def on_trouble(trouble: Trouble) -> None:
        told.append(trouble)
        raise RuntimeError("not the job's business")

    tell = Teller(Options(on_trouble=on_trouble, clock=lambda: Moment(0, now[0])))
    for now[0] in (0.0, 0.5, 0.9, 1.0):
        tell("retrying", "x")
        tell("superseded", "x")
    kinds = ["retrying", "superseded", "superseded", "superseded", "retrying", "superseded"]
    assert [trouble.kind for trouble in told] == kinds


def test_that_nats_is_away_is_told_when_it_begins_then_once_a_minute_and_anew_after_it_was_back() -> None:
    now = [0.0]
    told: list[str] = []
    tell = Teller(
        Options(on_trouble=lambda trouble: told.append(trouble.kind), clock=lambda: Moment(0, now[0]))
    )
    for now[0] in range(0, 120, 5):
        tell("away", "at each dial")
    assert told == ["away", "away"]
    tell("back", "x")
    for kind in ("away", "away", "not_authorized", "not_authorized"):
        tell(kind, "x")  # type: ignore[arg-type]
    assert told[2:] == ["back", "away", "not_authorized"]
