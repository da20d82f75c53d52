"""G8 bad input: the vectors that test/unit/vectors.test.ts runs against the edge's own check."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from headway_worker import Invalid, Valid, check_event, decode_event

FOLDER = Path(__file__).parents[3] / "schemas" / "vectors"
VECTORS = [vector for file in sorted(FOLDER.glob("*.json")) for vector in json.loads(file.read_text("utf-8"))]


def test_there_are_vectors() -> None:
    assert len(VECTORS) > 100


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_vector(vector: dict[str, Any]) -> None:
    body = vector["body"].encode() if "body" in vector else base64.b64decode(vector["base64"])
    decoded = decode_event(vector["subject"], body.ljust(vector.get("pad_to", 0)))
    if vector["valid"]:
        assert isinstance(decoded, Valid), decoded
        # Everything is kept, what is not known, too.
        text = body.decode()
        assert decoded.event == json.loads(text)
    else:
        assert isinstance(decoded, Invalid)
        assert decoded.reason == vector["reason"], decoded.detail
        assert decoded.path == vector.get("path", decoded.path)


@pytest.mark.parametrize("value", [[], 1, None, "x", {1: 2}])
def test_what_is_no_event_never_raises(value: Any) -> None:
    assert check_event(value) is not None


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"a":' * 10_000, "9" * 5_000, '{"progress":1e999}', "\ufeff{}"]
)
def test_hostile_bodies_never_raise(text: str) -> None:
    assert isinstance(decode_event("progress.a", text.encode()), Invalid)


def test_numbers_beyond_a_float_are_no_percent() -> None:
    for digits in ("9" * 400, "9" * 5_000):
        body = '{"processing_id":"a","status":"processing","timestamp":"2026-01-31T12:00:00Z","progress":%s}'
        decoded = decode_event("progress.a", (body % digits).encode())
        assert isinstance(decoded, Invalid) and decoded.path == "/progress"
