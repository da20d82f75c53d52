"""Settings that do not fit: an error that names the setting, what is wrong with it, and what is expected."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from nats_server import NatsServer
from witness import ignore

from headway_worker import HeadwayError, InvalidOptionError, Options, Reporter, connect_reporter, sync

ABSENT = "nats://127.0.0.1:1"

OPTIONS: list[tuple[str, list[Any], str]] = [
    ("stream", ["", "a b", "a.b", "a.>", "a*", "a/b", 3, None], "the name of a stream"),
    ("api_prefix", ["", "a b", "$JS.>", ".API", "API.", 3, None], "the beginning of a subject"),
    ("max_updates_per_second", [0, -1, math.nan, "10", True, None], "a number above 0"),
    ("max_in_flight", [0, 1.5, math.inf, "256", True, None], "an integer from 1"),
    ("heartbeat_seconds", [-1, math.nan, math.inf, "5", None], "a finite number from 0"),
    ("ack_seconds", [0, -1, math.nan, math.inf, "5", None], "a finite number above 0"),
    ("start_seconds", [-1, math.nan, "2", None], "a number from 0"),
    ("end_seconds", [-1, math.nan, "300"], "a number from 0"),
    ("close_seconds", [-1, math.nan, "10", None], "a number from 0"),
    ("include_stack", ["no", 0, None], "True or False"),
    ("ce_source", ["", "a b", "a\nb", 3], "a URI"),
    ("encoder", [3, None], "a function"),
    ("on_warning", ["print", None], "a function"),
    ("clock", [1, None], "a function"),
]


@pytest.mark.parametrize("name, values, expected", OPTIONS, ids=[name for name, _, _ in OPTIONS])
def test_G8_an_option(name: str, values: list[Any], expected: str) -> None:
    for value in values:
        with pytest.raises(InvalidOptionError) as caught:
            Options(**{name: value})
        assert caught.value.option == name
        assert str(caught.value) == f"the option {name} {caught.value.problem}"
        assert f"is {value!r}; expected {expected}" in caught.value.problem


def test_every_option_is_tested() -> None:
    assert [name for name, _, _ in OPTIONS] == list(Options.__dataclass_fields__)


def test_what_is_unusual_and_fits() -> None:
    Options(max_updates_per_second=math.inf, end_seconds=None, start_seconds=0, close_seconds=math.inf)
    Options(stream="A-b_1", api_prefix="JS.acc.API", ce_source="urn:x", heartbeat_seconds=0)


ADDRESSES: list[Any] = [
    *(
        "nats://127.0.0.1:99999",
        "nats://127.0.0.1:abc",
        "nats://127.0.0.1:0",
        "nats://127.0.0.1:-5",
        "nats://",
    ),
    *(
        "nats://:4222",
        "nats://[::1",
        "nats://a b:4222",
        "nats:127.0.0.1:4222",
        "http://127.0.0.1:4222",
        "nats://h/path",
    ),
    *(
        "nats://h:1?x=1",
        "nats://h:1#x",
        "nats://u:p@ss@h:1",
        "nats://u:p/s@h:1",
        "nats://u:%zz@h:1",
        "nats://@h:1",
    ),
    [ABSENT, 3],
    [ABSENT, "nats://h:port"],
]


@pytest.mark.parametrize("servers", ADDRESSES)
@pytest.mark.parametrize("make", [connect_reporter, sync.connect_reporter])
def test_G8_an_address(servers: Any, make: Any) -> None:
    place = len(servers) if isinstance(servers, list) else 1
    with pytest.raises(
        InvalidOptionError, match=rf"servers has no address of NATS at place {place}; expected one such as nats"
    ):
        make(servers)


@pytest.mark.parametrize(
    "servers, problem",
    [
        ("", "holds no address"),
        (" , ", "holds no address"),
        ([], "holds no address"),
        (None, "neither an address nor a list"),
        (3, "neither an address nor a list"),
        ("ws://h:1,nats://h:1", "has addresses of WebSockets"),
    ],
)
def test_G8_no_address(servers: Any, problem: str) -> None:
    with pytest.raises(InvalidOptionError, match=f"servers .*{problem}"):
        connect_reporter(servers)


def test_a_password_in_an_address_is_not_told() -> None:
    with pytest.raises(InvalidOptionError) as caught:
        connect_reporter("nats://user:secret@host:port")
    assert "secret" not in str(caught.value) and caught.value.__cause__ is None


@pytest.mark.parametrize(
    "settings, problem",
    [
        ({"wait_seconds": "2"}, "wait_seconds is '2'; expected a number from 0"),
        ({"wait_seconds": None}, "wait_seconds is None"),
        ({"user_credential": "x"}, "user_credential is no setting of nats.connect"),
        ({"error_cb": print}, "error_cb is the reporter's own"),
        ({"closed_cb": print}, "closed_cb is the reporter's own"),
        ({"reconnected_cb": print}, "reconnected_cb is the reporter's own"),
        ({"inbox_prefix": "a b"}, "inbox_prefix is 'a b'; expected the beginning of a subject"),
        ({"inbox_prefix": b"a.>"}, "inbox_prefix is b'a.>'"),
        ({"name": 3}, "name is 3; expected a text"),
        ({"tls": "x"}, "tls is str; expected an ssl.SSLContext"),
        ({"user_credentials": "/not/there"}, "user_credentials names /not/there, which cannot be read"),
        ({"user_credentials": __file__}, "user_credentials names .*, which holds no credentials"),
        ({"options": {}}, "options is dict; expected Options"),
    ],
)
def test_G8_a_setting_of_the_connection(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidOptionError, match=problem):
        connect_reporter(ABSENT, **settings)


async def test_G8_a_setting_that_only_the_client_can_judge() -> None:
    with pytest.raises(
        InvalidOptionError, match="the option nats has settings that nats.connect does not take"
    ):
        async with connect_reporter(ABSENT, reconnect_time_wait="x"):
            pass


async def test_G8_a_check_and_a_connection_that_is_none(server: NatsServer) -> None:
    nobody: Any = None
    with pytest.raises(InvalidOptionError, match="nc is NoneType; expected a connection of nats-py"):
        Reporter(nobody)
    async with connect_reporter(server.url) as reporter:
        with pytest.raises(InvalidOptionError, match="seconds is -1; expected a number from 0"):
            await reporter.check(seconds=-1)


def test_whoever_caught_these_before_still_does() -> None:
    for kind in (ValueError, HeadwayError):
        with pytest.raises(kind):
            Options(max_in_flight=0)


@pytest.mark.parametrize("login", ["user", "token"])
async def test_a_password_with_signs_of_an_address_is_written_with_escapes(
    tmp_path: Path, login: str
) -> None:
    secret = "p@s:s/w,o%r"
    permitted = f'token: "{secret}"' if login == "token" else f'user: "us,er", password: "{secret}"'
    with NatsServer(tmp_path, f"authorization {{ {permitted} }}") as server:
        who = quote(secret, safe="") if login == "token" else f"{quote('us,er')}:{quote(secret, safe='')}"
        address = server.url.replace("//", f"//{who}@")
        for servers in (address, f"{ABSENT},{address}", [address, server.url]):
            async with connect_reporter(servers, Options(on_warning=ignore), dont_randomize=True) as reporter:
                assert reporter.is_connected
