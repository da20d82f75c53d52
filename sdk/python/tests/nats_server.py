"""A real nats-server of a test's own: it picks a free port once and keeps it, and its folder, across restarts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Callable, TypeVar
from urllib.parse import urlsplit

_T = TypeVar("_T")


def wait_for(what: str, look: Callable[[], _T | None], seconds: float = 15) -> _T:
    """Looks until there is something; for use outside of an event loop."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found is not None:
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds} s for {what}")


class NatsServer:
    def __init__(self, folder: Path, config: str = "", jetstream: str | None = "") -> None:
        """``config``: more lines; ``jetstream``: more of the block of that name, None: there is no such block."""
        binary = os.environ.get("NATS_SERVER_BIN")
        if not binary:
            raise RuntimeError("set NATS_SERVER_BIN; scripts/test-python.sh does")
        self._binary = binary
        self._folder = folder
        self._config = config
        self._jetstream = jetstream
        # -1 lets the server choose.
        self._port = -1
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    def start(self) -> None:
        """Returns when its JetStream answers."""
        config = self._folder / "nats.conf"
        jetstream = ""
        if self._jetstream is not None:
            jetstream = f'jetstream {{\n  store_dir: "{self._folder}"\n  {self._jetstream}\n}}\n'
        config.write_text(
            f'listen: "127.0.0.1:{self._port}"\nhttp: "127.0.0.1:-1"\nports_file_dir: "{self._folder}"\n'
            f"{jetstream}{self._config}\n"
        )
        log = (self._folder / "nats.log").open("ab")
        with log:
            process = subprocess.Popen([self._binary, "-c", str(config)], stdout=log, stderr=log)
        self._process = process
        ports_file = self._folder / f"{Path(self._binary).name}_{process.pid}.ports"

        def ports() -> dict[str, list[str]] | None:
            if process.poll() is not None:
                raise AssertionError(f"nats-server ended: {(self._folder / 'nats.log').read_text()[-2000:]}")
            try:
                found: dict[str, list[str]] = json.loads(ports_file.read_text())
                return found
            except (OSError, ValueError):
                return None

        found = wait_for("the ports of nats-server", ports)
        self._port = urlsplit(found["nats"][0]).port or 0
        health = found["monitoring"][0] + "/healthz"
        wait_for("nats-server to be ready", lambda: True if _answers(health) else None)

    def kill(self) -> None:
        """SIGKILL, and waits until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """It stands still, and its connections stand."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        # On a busy machine its threads may go on for a moment, and answer.
        os.waitpid(self._process.pid, os.WUNTRACED)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> NatsServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False
