"""Reports the progress of long-running jobs to Headway, over NATS JetStream.

async with connect_reporter(servers="nats://127.0.0.1:4222") as reporter:
    async with reporter.job("3f6c2a1e", job_type="pdf.words", total=14) as job:
        for page in range(14):
            job.report(current=page + 1, message=f"Read page {page + 1}")
"""

from .check import Check, CheckProblem
from .contract import EVENT_MAX_BYTES, Invalid, Valid, ValidationIssue, check_event, decode_event
from .errors import (
    EventTooLargeError,
    HeadwayError,
    InvalidEventError,
    InvalidOptionError,
    JobEndedError,
    JobFailed,
    NotAuthorizedError,
    NotPermittedError,
    SupersededError,
)
from .job import Job
from .options import Options
from .reporter import Reporter, connect_reporter
from .state import Step, Timestamp
from .values import default_encoder
from .warning import ReporterWarning

__all__ = [
    "EVENT_MAX_BYTES",
    "Check",
    "CheckProblem",
    "EventTooLargeError",
    "HeadwayError",
    "Invalid",
    "InvalidEventError",
    "InvalidOptionError",
    "Job",
    "JobEndedError",
    "JobFailed",
    "NotAuthorizedError",
    "NotPermittedError",
    "Options",
    "Reporter",
    "ReporterWarning",
    "Step",
    "SupersededError",
    "Timestamp",
    "Valid",
    "ValidationIssue",
    "check_event",
    "connect_reporter",
    "decode_event",
    "default_encoder",
]
