"""The parts of an exception that are published when it ends a job. Pure."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import dataclass
from typing import Any

_STACK_MAX_CHARACTERS = 16_384


@dataclass(frozen=True)
class Failure:
    """The `error` of an event. None: not there."""

    code: str
    message: str
    retryable: bool
    details: Any = None
    stack: str | None = None


def failure_of(error: BaseException | str, include_stack: bool) -> Failure:
    """``code``, ``retryable`` and ``details`` are the exception's own where it has them; its other attributes
    are not published. The stack only if the options ask for it: every viewer of the job would see it."""
    if isinstance(error, str):
        return Failure("error", error, False)
    if isinstance(error, asyncio.CancelledError):
        return Failure("cancelled", _text_of(error) or "The worker was stopped.", True)
    code = _own(error, "code")
    details = _own(error, "details")
    name = type(error).__name__
    stack = None
    if include_stack:
        # The end says where it happened.
        stack = "".join(traceback.format_exception(type(error), error, error.__traceback__))[
            -_STACK_MAX_CHARACTERS:
        ]
    return Failure(
        code if isinstance(code, str) and code else "error" if name == "Exception" else name,
        _text_of(error) or name,
        _own(error, "retryable") is True,
        # gRPC's errors have a method of this name.
        None if callable(details) else details,
        stack,
    )


def _own(error: BaseException, name: str) -> Any:
    try:
        return getattr(error, name, None)
    except Exception:
        # A property that raises must not keep the job from its end, nor hide the error itself.
        return None


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""
