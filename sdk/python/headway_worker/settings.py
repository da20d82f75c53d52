"""Checks settings by type, range and form. Error messages leave out values that may hold a password."""

from __future__ import annotations

import inspect
import math
import os
import re
import ssl
from typing import Any, Mapping
from urllib.parse import unquote, urlsplit

from nats.aio.client import Client

from .errors import InvalidOptionError

DEFAULT_SERVER = "nats://127.0.0.1:4222"
_ADDRESS = (
    f"expected one such as {DEFAULT_SERVER} (in a user or password write @ : / , % as %40 %3A %2F %2C %25)"
)
_SCHEMES = ("nats", "tls", "ws", "wss")
# Escapes are two hexadecimal digits.
_ESCAPES = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")
# The reporter's own: it tells what they would hear through `on_warning`.
_OWN = ("error_cb", "closed_cb", "reconnected_cb")


def check_number(
    name: str,
    value: object,
    minimum: float,
    *,
    above: bool = False,
    infinite: bool = True,
    whole: bool = False,
) -> None:
    """:raises InvalidOptionError: when it is no number from ``minimum`` on, or ``above`` it"""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)
    if is_number and (value > minimum if above else value >= minimum):  # type: ignore[operator]
        if (infinite or math.isfinite(value)) and (not whole or isinstance(value, int)):  # type: ignore[arg-type]
            return
    kind = "an integer" if whole else "a number" if infinite else "a finite number"
    raise InvalidOptionError(
        name, f"is {value!r}; expected {kind} {'above' if above else 'from'} {minimum:g}"
    )


def check_stream(name: str, value: object) -> None:
    """:raises InvalidOptionError: when no stream can have this name"""
    if not isinstance(value, str) or not re.fullmatch(r"[^\s.*>/\\]+", value):
        raise InvalidOptionError(name, f"is {value!r}; expected the name of a stream, such as PROGRESS")


def check_prefix(name: str, value: object, example: str) -> None:
    """:raises InvalidOptionError: when no subject can begin with it"""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if not isinstance(text, str) or not re.fullmatch(r"[^\s.*>]+(\.[^\s.*>]+)*", text):
        raise InvalidOptionError(
            name, f"is {value!r}; expected the beginning of a subject, such as {example}"
        )


def check_flag(name: str, value: object) -> None:
    """:raises InvalidOptionError: when it is neither True nor False"""
    if not isinstance(value, bool):
        raise InvalidOptionError(name, f"is {value!r}; expected True or False")


def check_callable(name: str, value: object) -> None:
    """:raises InvalidOptionError: when it cannot be called"""
    if not callable(value):
        raise InvalidOptionError(name, f"is {value!r}; expected a function")


def check_source(name: str, value: object) -> None:
    """:raises InvalidOptionError: when it is no URI that fits into a header"""
    if value is not None and not (isinstance(value, str) and re.fullmatch(r"[!-~]{1,2048}", value)):
        raise InvalidOptionError(name, f"is {value!r}; expected a URI: 1 to 2,048 printable ASCII characters")


def connection_settings(servers: object, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of ``nats.connect``.

    :param servers: one address or several, in a list or with commas between them
    :raises InvalidOptionError: when an address, or one of the settings that are ``given``, does not fit
    """
    known = inspect.signature(Client.connect).parameters
    for name, value in given.items():
        if name in _OWN:
            raise InvalidOptionError(name, "is the reporter's own; the reporter calls on_warning instead")
        if name not in known or name in ("self", "servers"):
            raise InvalidOptionError(name, "is no setting of nats.connect")
        if name == "inbox_prefix":
            check_prefix(name, value, "_INBOX")
        elif name == "name" and not isinstance(value, (str, type(None))):
            raise InvalidOptionError(name, f"is {value!r}; expected a text")
        elif name == "tls" and not isinstance(value, (ssl.SSLContext, type(None))):
            raise InvalidOptionError(name, f"is {type(value).__name__}; expected an ssl.SSLContext")
    # What an environment leaves empty counts as not given.
    settings = {name: value for name, value in given.items() if value or name != "user_credentials"}
    if isinstance(settings.get("user_credentials"), (str, os.PathLike)):
        _check_credentials(settings["user_credentials"])
    return {**_with_login(_addresses(servers)), **settings}


def _addresses(servers: object) -> list[str]:
    if isinstance(servers, str):
        servers = servers.split(",")
    if not isinstance(servers, (list, tuple)):
        raise InvalidOptionError("servers", "is neither an address nor a list of them")
    given = [server.strip() if isinstance(server, str) else None for server in servers]
    addresses = [server for server in given if server != ""]
    if not addresses:
        raise InvalidOptionError("servers", f"holds no address; expected one such as {DEFAULT_SERVER}")
    found: list[str] = []
    for place, server in enumerate(addresses, start=1):
        if server is None or not _is_address(server):
            # It may hold a password.
            raise InvalidOptionError("servers", f"has no address of NATS at place {place}; {_ADDRESS}")
        found.append(server)
    if len({_url_of(server).scheme in ("ws", "wss") for server in found}) > 1:
        raise InvalidOptionError(
            "servers", "has addresses of WebSockets (ws, wss) beside others; expected one kind"
        )
    return found


def _url_of(server: str) -> Any:
    return urlsplit(server if "://" in server else f"nats://{server}")


def _is_address(server: str) -> bool:
    try:
        url = _url_of(server)
        port = url.port
    except ValueError:
        return False
    login, at, host = url.netloc.rpartition("@")
    is_host = bool(url.hostname) and re.fullmatch(
        r"\[[0-9A-Fa-f:.%\w]+\]|[^\s\[\]:]+", re.sub(r":\d+$", "", host)
    )
    is_bare = url.path in ("", "/") and not url.query and not url.fragment and not server.endswith(("?", "#"))
    return bool(
        url.scheme in _SCHEMES
        and is_host
        and port != 0
        and is_bare
        and "@" not in login
        and not (at and not login)
        and _ESCAPES.fullmatch(login)
    )


def _with_login(servers: list[str]) -> dict[str, Any]:
    """The client takes escapes in a user and a password as they stand. Where several servers have different ones, they are
    left in their addresses."""
    logins = {_url_of(server).netloc.rpartition("@")[0] for server in servers} - {""}
    if len(logins) != 1:
        return {"servers": servers}
    login = logins.pop()
    bare = [server.replace(f"{login}@", "", 1) for server in servers]
    user, colon, password = login.partition(":")
    if not colon:
        return {"servers": bare, "token": unquote(user)}
    return {"servers": bare, "user": unquote(user), "password": unquote(password)}


def _check_credentials(file: str | os.PathLike[str]) -> None:
    try:
        with open(file, encoding="utf-8") as opened:
            text = opened.read()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise InvalidOptionError("user_credentials", f"names {file}, which cannot be read ({why})") from None
    if not all(f"-----BEGIN {what}-----" in text for what in ("NATS USER JWT", "USER NKEY SEED")):
        raise InvalidOptionError("user_credentials", f"names {file}, which holds no credentials")
