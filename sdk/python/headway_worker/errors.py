"""What the worker SDK raises, each for one situation."""

from __future__ import annotations

from typing import Any, Literal

from .contract import ValidationIssue


class HeadwayError(Exception):
    """Everything that this package raises by itself."""


class InvalidOptionError(HeadwayError, ValueError):
    """A setting does not fit: ``option`` names it."""

    code = "invalid_option"

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"the option {option} {problem}")
        self.option = option
        self.problem = problem


class InvalidEventError(HeadwayError, ValueError):
    """What was given does not fit the event contract. Nothing was sent, and the job's state is unchanged."""

    code = "invalid_event"

    def __init__(self, issue: ValidationIssue) -> None:
        super().__init__(str(issue))
        self.issue = issue


class EventTooLargeError(HeadwayError, ValueError):
    """The event would be larger than 64 KiB. Nothing was sent, and the job's state is unchanged."""

    code = "event_too_large"

    def __init__(self, size: int, limit: int | None) -> None:
        """``limit`` is None where NATS takes fewer than 64 KiB and does not say how many."""
        allowed = "this NATS takes none so large" if limit is None else f"at most {limit} are allowed"
        super().__init__(
            f"the event would have {size} bytes; {allowed}. Store what is large elsewhere, and put a link to it into the event"
        )
        self.size = size
        self.limit = limit


class JobEndedError(HeadwayError):
    """``complete`` or ``fail`` was called for a job that has its end."""

    def __init__(self, processing_id: str) -> None:
        super().__init__(f"the job {processing_id} has been completed or failed already")
        self.processing_id = processing_id


# A higher attempt has begun; the job, or this attempt of it, has its end; this attempt was given up for its silence, by
# an end or while another worker had it; somebody else writes under the same attempt.
SupersededReason = Literal["newer_attempt", "finished", "timeout", "other_writer"]

_LOST: dict[SupersededReason, str] = {
    "newer_attempt": "a newer attempt has begun",
    "finished": "it is finished",
    "timeout": "it was given up, because nothing was heard of it for its timeout_seconds",
    "other_writer": "another worker writes to it under the same attempt",
}


class SupersededError(HeadwayError):
    """This worker has lost its job; nothing it reports is written any more. Stop the work.

    ``seq`` is the sequence of the event that stands in the way.
    """

    def __init__(self, processing_id: str, attempt: int | None, reason: SupersededReason, seq: int) -> None:
        which = "this attempt" if attempt is None else f"attempt {attempt}"
        super().__init__(f"{which} of the job {processing_id} was lost: {_LOST[reason]}")
        self.processing_id = processing_id
        self.attempt = attempt
        self.reason = reason
        self.seq = seq


DeniedOperation = Literal["read", "publish", "subscribe"]


class NotPermittedError(HeadwayError):
    """NATS does not permit something that the reporter needs: to read what a job's next event depends on, to publish its
    events, or to get answers. ``on_warning`` gets it; it is never raised.

    ``subjects`` are those of which one has to be permitted: to publish to, or with ``subscribe`` to subscribe to.
    ``detail`` is what NATS said. ``processing_id`` is None where it is about all jobs.
    """

    def __init__(
        self,
        processing_id: str | None,
        subjects: tuple[str, ...],
        detail: str,
        operation: DeniedOperation = "read",
    ) -> None:
        named = " or ".join(subjects)
        texts: dict[DeniedOperation, str] = {
            "read": f"what was written to the job {processing_id} may not be read ({detail}): permit to publish to {named}",
            "publish": f"there is no permission to publish to {named}: NATS refuses it",
            "subscribe": f"there is no permission to subscribe to {named}, so nothing is acknowledged",
        }
        super().__init__(texts[operation])
        self.processing_id = processing_id
        self.subjects = subjects
        self.detail = detail
        self.operation = operation


class NotAuthorizedError(HeadwayError):
    """NATS refuses the credentials. ``on_warning`` gets it; it is never raised. The reporter keeps trying.
    ``detail`` is what NATS said."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"NATS refuses the credentials ({detail})")
        self.detail = detail


class JobFailed(Exception):
    """For jobs to raise: fails the job with exactly this code, message and details.

    Any other exception fails it too: with its own ``code``, ``retryable`` and ``details`` where it has them, else with
    its class as the code, and not retryable.
    """

    def __init__(
        self, message: str, *, code: str = "error", retryable: bool = False, details: Any = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable
        self.details = details
