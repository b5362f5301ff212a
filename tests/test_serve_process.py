"""`ttscale serve` as a process: its start, its signals, and what it refuses to start with."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.serving import ASK, SLOW, write
from tests.test_run import in_process

ROOT = Path(__file__).parents[1]


class Process:
    """A server of its own, and what it has said on stderr."""

    def __init__(self, config: Path, *arguments: str) -> None:
        words = [sys.executable, "-m", "ttscale.cli", "serve", str(config), "--port", "0"]
        self.popen = subprocess.Popen(
            [*words, *arguments],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        self.url = self.wait_for(r"serving at (http://\S+)")

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(re.findall(r":(\d+)", self.url)[0])

    def _read(self) -> None:
        assert self.popen.stderr is not None
        self.said.extend(iter(self.popen.stderr.readline, ""))

    def wait_for(self, pattern: str, seconds: float = 120) -> str:
        """The first group of a pattern, once it has been said."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := re.search(pattern, "".join(self.said)):
                return found[found.re.groups]
            time.sleep(0.02)
        raise AssertionError("".join(self.said))

    def ended(self) -> int:
        """The exit status, once all that it said has been read."""
        status = self.popen.wait(timeout=60)
        self._reading.join(timeout=60)
        return status

    def open(self, **fields: Any) -> Any:
        """A request's response, which can be read as it comes."""
        body = json.dumps({"model": "vote", "messages": ASK, **fields}).encode()
        return urllib.request.urlopen(
            urllib.request.Request(self.url + "/chat/completions", body), timeout=120
        )

    def wait_until_busy(self, seconds: float = 120) -> None:
        """Wait until the engine runs a stream."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with urllib.request.urlopen(self.url.removesuffix("/v1") + "/metrics") as response:
                if "\nttscale_engine_streams_running 8.0\n" in response.read().decode():
                    return
            time.sleep(0.02)
        raise AssertionError("no request reached the engine")


@contextmanager
def process(config: Path, *arguments: str) -> Iterator[Process]:
    started = Process(config, *arguments)
    try:
        yield started
    finally:
        started.popen.kill()
        started.popen.wait()


def test_sigterm_lets_requests_end_and_takes_no_new_ones(tmp_path: Path) -> None:
    model = {"engine": "simulated", "timing": {"time_scale": 1.0, "round_seconds": 0.005}}
    with process(write(tmp_path, {"model": model}), "--drain", "120") as served:
        with served.open(stream=True) as response:
            assert b"assistant" in response.readline()
            served.popen.send_signal(signal.SIGTERM)
            served.wait_for("stopping; .* requests in flight may end")
            assert _closes(served.port)
            rest = response.read().decode()
        assert "Step 1" in rest and rest.endswith("data: [DONE]\n\n")
        assert served.ended() == 0
        assert "SIMULATED" in "".join(served.said)


def _closes(port: int, seconds: float = 60) -> bool:
    """Whether a port takes no connection any more, sooner or later."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            return True
        time.sleep(0.02)
    return False


def test_ctrl_c_twice_leaves_at_once(tmp_path: Path) -> None:
    with process(write(tmp_path, {"model": SLOW})) as served:
        asking = threading.Thread(target=_swallow, args=(served,))
        asking.start()
        served.wait_until_busy()
        served.popen.send_signal(signal.SIGINT)
        served.wait_for("stopping; 1 requests")
        served.popen.send_signal(signal.SIGINT)
        assert served.ended() == 130
        asking.join(timeout=60)
        said = "".join(served.said)
        assert "left at once" in said and "Traceback" not in said


def test_what_does_not_end_in_time_is_cancelled_and_told_so(tmp_path: Path) -> None:
    with process(write(tmp_path, {"model": SLOW}), "--drain", "1") as served:
        failures: list[urllib.error.HTTPError] = []

        def ask() -> None:
            try:
                served.open()
            except urllib.error.HTTPError as error:
                failures.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        served.wait_until_busy()
        served.popen.send_signal(signal.SIGTERM)
        asking.join(timeout=60)
        assert failures[0].code == 503
        assert json.load(failures[0])["error"]["code"] == "server_stopping"
        assert served.ended() == 0
        assert "Traceback" not in "".join(served.said)


def _swallow(served: Process) -> None:
    """Ask, and take it when the server goes away."""
    with suppress(OSError):
        served.open().read()


def refused(*arguments: str | Path) -> str:
    done = in_process("serve", *arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        said = refused(write(tmp_path, {}), "--port", port)
    assert "this port is in use" in said and port in said and "--port" in said


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ({"name": "best_of_n", "verifier": "exact"}, "exact"),
        ({"name": "best_of_n", "verifier": "noisy_oracle"}, "noisy_oracle"),
        ({"name": "best_of_n", "verifier": "code_tests"}, "code_tests"),
        (
            {"name": "best_of_n", "verifier": {"name": "ensemble", "of": ["code_tests", "judge"]}},
            "code_tests",
        ),
    ],
)
def test_verifiers_that_need_a_benchmark(tmp_path: Path, entry: Any, name: str) -> None:
    said = refused(write(tmp_path, {"strategies": ["single", entry]}), "--port", "0")
    assert "a request has none" in said and f"got:   {name}" in said and "best_of_n" in said


def test_other_wrong_input(tmp_path: Path) -> None:
    assert "cannot be read" in refused(tmp_path / "none.yaml")
    assert "did you mean single" in refused(write(tmp_path, {"strategies": ["singel"]}))
    config = write(tmp_path, {})
    assert "unknown key" in refused(config, "--set", "run.concurency=3")
    assert "--api-key" in refused(config, "--api-key", " ")
    assert "no such address" in refused(config, "--host", "x" * 64, "--port", "0")
