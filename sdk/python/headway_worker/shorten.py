"""An event with less in it, for where NATS takes none so large. Pure."""

from __future__ import annotations

import json

from .contract import encode
from .errors import EventTooLargeError
from .send_queue import Draft
from .state import KEPT_BRIEFLY

_KEPT = KEPT_BRIEFLY | frozenset("status current total indeterminate eta_seconds".split())
_MESSAGE_MAX_CHARACTERS = 256


def shortened(draft: Draft) -> tuple[Draft, EventTooLargeError | None]:
    """The same event with what names the job and its place alone. A result cannot be left out as if there were none: then
    it is the failure that is given back beside it."""
    event = json.loads(draft.json)
    kept = {name: value for name, value in event.items() if name in _KEPT}
    lost = None
    if "result" in event:
        lost = EventTooLargeError(len(draft.json), None)
        error = {"code": lost.code, "message": str(lost), "retryable": False}
        kept = {**kept, "status": "error", "progress": draft.reached, "error": error}
    elif "error" in event:
        error = {name: event["error"][name] for name in ("code", "retryable") if name in event["error"]}
        kept["error"] = {**error, "message": str(event["error"].get("message", ""))[:_MESSAGE_MAX_CHARACTERS]}
    short = Draft(kept["status"], draft.timestamp, encode(kept), float(kept["progress"]), draft.reached)
    return short, lost
