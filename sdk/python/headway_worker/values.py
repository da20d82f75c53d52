"""Values as JSON holds them. How much is done is computed, so sooner or later it is not a number; that must not end a job.
Pure."""

from __future__ import annotations

import json
import math
from datetime import date, time
from decimal import Decimal
from typing import Any, Callable, Mapping
from uuid import UUID

from .contract import MAX_LEVELS, MAX_SAFE_INTEGER, ValidationIssue
from .errors import InvalidEventError

Encoder = Callable[[Any], Any]
"""Gives for a value that JSON has no form for another one, of which the same is asked again. Raises TypeError for what it
does not know."""
OnUnknown = Callable[[str], None]
"""Called with a value that counts as unknown: where it is and what it is, for people."""


def default_encoder(value: Any) -> Any:
    """Dates and times as in ISO 8601, UUIDs and Decimals as text (no digit is lost), the numbers and arrays of numpy and
    its like as numbers and lists.

    :raises TypeError: for all else
    """
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (UUID, Decimal)):
        return str(value)
    # numpy and all that follow its array interface, without importing any of them.
    to_list = getattr(value, "tolist", None)
    if callable(to_list):
        return to_list()
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def amount_of(value: Any, minimum: float = -math.inf) -> float | None:
    """A finite number from ``minimum`` on; None for what says nothing. Decimals, fractions and numpy's numbers count, True
    and texts do not."""
    if isinstance(value, (bool, str, bytes)) or type(value).__name__ in ("bool_", "bool"):
        return None
    try:
        # An integer stays one.
        number = value if type(value) in (int, float) else float(value)
        return (
            number
            if math.isfinite(number) and minimum <= number and abs(number) <= MAX_SAFE_INTEGER
            else None
        )
    except Exception:
        # What is asked for a number may raise anything.
        return None


def place_of(value: Any) -> int | None:
    """A whole number from 0 on, such as of a step; None for what says nothing."""
    number = amount_of(value, 0)
    return None if number is None or number != int(number) else int(number)


class _TooDeep(Exception):
    """Where it is too deep does not fit on a line."""


def plain(value: Any, encoder: Encoder, path: str, on_unknown: OnUnknown, level: int = 2) -> Any:
    """A copy of a value of what JSON has, so that what the job changes later is not sent by accident. A number that JSON
    does not have becomes None, and ``on_unknown`` is called.

    :param path: where it stands in the event, for the error
    :param level: how deep that is
    :raises InvalidEventError: that names the place of what has no form, or is nested too deeply for an event
    """
    try:
        return _plain(value, encoder, path, on_unknown, level)
    except _TooDeep:
        raise InvalidEventError(
            ValidationIssue(path, f"makes the event more than {MAX_LEVELS} levels deep")
        ) from None


def _plain(value: Any, encoder: Encoder, path: str, on_unknown: OnUnknown, level: int) -> Any:
    if value is None or isinstance(value, (bool, str)):
        # Not of a class of its own: an Enum of texts is one.
        return value if value is None or isinstance(value, bool) else str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        on_unknown(f"{path} is a number that JSON does not have; it is sent as null")
        return None
    if isinstance(value, Mapping):
        _check_level(level)
        return {
            _name(name, path): _plain(inner, encoder, f"{path}/{_escaped(name)}", on_unknown, level + 1)
            for name, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        _check_level(level)
        return [
            _plain(inner, encoder, f"{path}/{at}", on_unknown, level + 1) for at, inner in enumerate(value)
        ]
    try:
        other = encoder(value)
    except Exception as error:
        raise InvalidEventError(ValidationIssue(path, f"cannot be written as JSON: {error}")) from error
    if other is value or level > MAX_LEVELS:
        raise InvalidEventError(ValidationIssue(path, f"cannot be written as JSON: {type(value).__name__}"))
    # Counted as a level, so that an encoder that never gets there ends.
    return _plain(other, encoder, path, on_unknown, level + 1)


def _check_level(level: int) -> None:
    if level > MAX_LEVELS:
        raise _TooDeep


def _name(name: Any, path: str) -> str:
    """As ``json`` writes it."""
    if isinstance(name, str):
        return str.__str__(name)
    if name is None or isinstance(name, (bool, int)) or (isinstance(name, float) and math.isfinite(name)):
        return json.dumps(name)
    raise InvalidEventError(
        ValidationIssue(path, f"has {type(name).__name__} as the name of a member; expected text")
    )


def _escaped(name: Any) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")
