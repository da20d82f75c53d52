"""What an error of JetStream means: in plain words where there are some, else as JetStream said it. Pure."""

from __future__ import annotations

from typing import Literal, Union

from nats.js.errors import APIError, NoStreamResponseError

Obstacle = Literal["storage_full", "no_stream", "no_jetstream"]
"""What keeps JetStream from storing anything at all, so that somebody has to look after it."""

_STORE_FAILED = 10077
# The server's or the account's store, or the disk; and a stream that takes nothing new when it is full.
_OBSTACLES: tuple[tuple[tuple[int, ...], Obstacle, str], ...] = (
    ((10002, 10023, 10028, 10047), "storage_full", "storage is full"),
    ((_STORE_FAILED,), "storage_full", "storage is full: the stream takes no more"),
    ((10059,), "no_stream", "no stream: run `headway init`"),
    ((10035, 10039, 10076), "no_jetstream", "JetStream is not enabled"),
)


def describe_error(
    error: Union[APIError, NoStreamResponseError], has_jetstream: bool = True
) -> tuple[str, Obstacle | None]:
    """The words for people, and what they mean for programs, where it is an obstacle.

    :param has_jetstream: whether the server that we are connected to has JetStream, as it says itself
    """
    if isinstance(error, NoStreamResponseError):
        # A stream of another server may take it, where this one is part of a cluster or a leaf node.
        if not has_jetstream:
            return "no stream takes it, and this server has no JetStream", "no_jetstream"
        # Also for a moment while a cluster chooses a leader.
        return "no stream takes it now; if there is none, run `headway init`", "no_stream"
    code = error.err_code or error.code or 503
    description = error.description or "nobody answers"
    said = f"{code} {description}"
    # Of the errors of a store only these are about room.
    is_room = code != _STORE_FAILED or "maximum bytes" in description or "maximum messages" in description
    for codes, obstacle, summary in _OBSTACLES:
        if code in codes and is_room:
            return f"{summary} ({said})", obstacle
    return said, None
