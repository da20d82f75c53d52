"""The event contract of PROTOCOL.md, "Events": what a worker may publish. Pure; ``schemas/vectors/`` holds it to the
edge's own check."""

from __future__ import annotations

import json
import math
import re
import sys
from dataclasses import dataclass
from datetime import date
from typing import Any, Callable, Literal, Mapping, Union

EVENT_MAX_BYTES = 64 * 1024
MESSAGE_MAX_CHARACTERS = 4096
ERROR_CODE_MAX_CHARACTERS = 128
STEP_NAME_MAX_CHARACTERS = 256
MAX_SAFE_INTEGER = 2**53 - 1
# Objects and arrays in each other, the event itself included.
MAX_LEVELS = 64
SUBJECT_PREFIX = "progress."
ALIVE_PREFIX = "alive.progress."

Event = Mapping[str, Any]
Reason = Literal["bad_subject", "too_large", "not_utf8", "not_json", "too_deep", "schema", "subject_mismatch"]


@dataclass(frozen=True)
class ValidationIssue:
    """Where a value breaks the contract (a JSON Pointer, '' for the whole) and how."""

    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.path or 'the event'} {self.problem}"


@dataclass(frozen=True)
class Valid:
    event: Event


@dataclass(frozen=True)
class Invalid:
    reason: Reason
    path: str
    detail: str


_PROCESSING_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_JOB_TYPE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?"
    r"(?:[Zz]|[+-]([0-9]{2}):([0-9]{2}))"
)


def is_processing_id(text: str) -> bool:
    """1 to 128 of A-Z a-z 0-9 _ -, so that it is always one token of a subject."""
    return _PROCESSING_ID.fullmatch(text) is not None


def is_job_type(text: str) -> bool:
    """1 to 64 of A-Z a-z 0-9 _ . -"""
    return _JOB_TYPE.fullmatch(text) is not None


def subject_of(processing_id: str) -> str:
    """The subject to which a job's events are published."""
    return SUBJECT_PREFIX + processing_id


def is_rfc3339(text: str) -> bool:
    """A date and time as RFC 3339 writes it, with a day that exists. A leap second is one."""
    parts = _RFC3339.fullmatch(text)
    if parts is None:
        return False
    year, month, day, hour, minute, second, off_hour, off_minute = (int(part or 0) for part in parts.groups())
    try:
        # Python knows no year 0, which is a leap year as 2000 is.
        date(year or 2000, month, day)
    except ValueError:
        return False
    return hour <= 23 and minute <= 59 and second <= 60 and off_hour <= 23 and off_minute <= 59


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    # A larger integer is infinite for whoever reads JSON's numbers as floats.
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _text(limit: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and len(value) <= limit


def _integer(minimum: int) -> Callable[[Any], bool]:
    # 3.0 is an integer in JSON.
    return lambda value: _is_number(value) and value == int(value) and minimum <= value <= MAX_SAFE_INTEGER


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


_Rule = tuple[Callable[[Any], bool], str]

_SECONDS_ABOVE_0: _Rule = (lambda value: _is_number(value) and value > 0, "a number above 0")
_REQUIRED: dict[str, _Rule] = {
    "processing_id": (
        lambda value: isinstance(value, str) and is_processing_id(value),
        "1 to 128 of A-Z a-z 0-9 _ -",
    ),
    "status": (
        lambda value: isinstance(value, str) and value in ("processing", "completed", "error"),
        '"processing", "completed" or "error"',
    ),
    "progress": (lambda value: _is_number(value) and 0 <= value <= 100, "a number from 0 to 100"),
    "timestamp": (
        lambda value: isinstance(value, str) and is_rfc3339(value),
        "a date and time as in RFC 3339, such as 2026-01-31T12:00:00Z",
    ),
}
_OPTIONAL: dict[str, _Rule] = {
    "type": (lambda value: isinstance(value, str) and value == "progress_update", '"progress_update"'),
    "message": (_text(MESSAGE_MAX_CHARACTERS), f"text of at most {MESSAGE_MAX_CHARACTERS} characters"),
    "job_type": (
        lambda value: isinstance(value, str) and is_job_type(value),
        "1 to 64 of A-Z a-z 0-9 _ . -",
    ),
    "attempt": (_integer(1), "an integer from 1 to 2^53-1"),
    "step": (lambda value: isinstance(value, Mapping), "an object"),
    "indeterminate": (_is_bool, "true or false"),
    "eta_seconds": (lambda value: _is_number(value) and value >= 0, "a number from 0"),
    "stall_after_seconds": _SECONDS_ABOVE_0,
    "timeout_seconds": _SECONDS_ABOVE_0,
    "error": (lambda value: isinstance(value, Mapping), "an object"),
}
_STEP: dict[str, _Rule] = {
    "name": (_text(STEP_NAME_MAX_CHARACTERS), f"text of at most {STEP_NAME_MAX_CHARACTERS} characters"),
    "index": (_integer(0), "an integer from 0 to 2^53-1"),
    "total": (_integer(0), "an integer from 0 to 2^53-1"),
}
_ERROR: dict[str, _Rule] = {
    "code": (_text(ERROR_CODE_MAX_CHARACTERS), f"text of at most {ERROR_CODE_MAX_CHARACTERS} characters"),
    "message": (_text(MESSAGE_MAX_CHARACTERS), f"text of at most {MESSAGE_MAX_CHARACTERS} characters"),
    "retryable": (_is_bool, "true or false"),
}
# What comes only with one status.
_BELONGS = {"result": "completed", "error": "error"}


def check_event(value: Any) -> ValidationIssue | None:
    """What is wrong with a value as an event, or None. What the contract does not name is left alone."""
    if not isinstance(value, Mapping):
        return ValidationIssue("", "is not an object")
    for name, (_, requested) in _REQUIRED.items():
        if name not in value:
            return ValidationIssue(f"/{name}", f"is missing; expected {requested}")
    issue = _check(value, {**_REQUIRED, **_OPTIONAL}, "")
    for name, rules in (("step", _STEP), ("error", _ERROR)):
        if issue is None and name in value:
            issue = _check(value[name], rules, f"/{name}")
    if issue is not None:
        return issue
    for name, status in _BELONGS.items():
        if name in value and value["status"] != status:
            return ValidationIssue(
                f"/{name}", f'comes only with status "{status}", and the status is "{value["status"]}"'
            )
    return None


def _check(value: Event, rules: Mapping[str, _Rule], path: str) -> ValidationIssue | None:
    for name, (fits, requested) in rules.items():
        if name in value and not fits(value[name]):
            return ValidationIssue(f"{path}/{name}", f"is {_show(value[name])}; expected {requested}")
    return None


def _show(value: object) -> str:
    """A value as an error message may show it: short, on one line."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."


def encode(event: Event) -> bytes:
    """The body of a message. Raises TypeError or ValueError for what JSON cannot hold (NaN, a datetime, a cycle)."""
    text = json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair has no UTF-8, but it has an escape.
        return json.dumps(event, allow_nan=False, separators=(",", ":")).encode()


_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def is_too_deep(text: str) -> bool:
    """Whether objects and arrays stand more than ``MAX_LEVELS`` deep in each other. It looks at the text: Python's parser
    dies of one that is nested too deeply."""
    if text.count("[") + text.count("{") <= MAX_LEVELS:
        return False
    depth = 0
    for character in _STRING.sub("", text):
        if character in "[{":
            depth += 1
            if depth > MAX_LEVELS:
                return True
        elif character in "]}":
            depth -= 1
    return False


def decode_event(subject: str, body: bytes) -> Union[Valid, Invalid]:
    """Reads one stored message as an event, as the edge does. Never raises."""
    name = subject.removeprefix(SUBJECT_PREFIX)
    if not subject.startswith(SUBJECT_PREFIX) or not is_processing_id(name):
        return Invalid("bad_subject", "", "the subject is not progress.<processing_id>")
    if len(body) > EVENT_MAX_BYTES:
        return Invalid("too_large", "", f"{len(body)} bytes; expected at most {EVENT_MAX_BYTES}")
    try:
        text = body.decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        return Invalid("not_utf8", "", "the body is not UTF-8")
    if is_too_deep(text):
        return Invalid("too_deep", "", f"the event is nested more than {MAX_LEVELS} levels deep")
    try:
        value = json.loads(text, parse_int=_integer_of, parse_constant=_refuse)
        issue = check_event(value)
    except ValueError as error:
        return Invalid("not_json", "", str(error))
    if issue is not None:
        return Invalid("schema", issue.path, str(issue))
    if value["processing_id"] != name:
        return Invalid(
            "subject_mismatch",
            "/processing_id",
            f'processing_id is "{value["processing_id"]}"; the subject says "{name}"',
        )
    return Valid(value)


def _integer_of(digits: str) -> Union[int, float]:
    # Python refuses to read integers of more than some 4,300 digits, and a float cannot hold one of 310.
    return int(digits) if len(digits) < 300 else float(digits)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
