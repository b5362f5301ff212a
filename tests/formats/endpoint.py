"""A chat endpoint on this machine that answers sums, some of them right: for lm-eval and inspect.

The n-th time a question is asked it gets the n-th of a fixed series of replies, so one client that
asks in order sees the same replies in every run. `python -m tests.formats.endpoint PORT` serves
until it is ended.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ASKED = re.compile(r"(\d+) \+ (\d+)")


class Reply:
    """What comes back for the n-th asking of a question: text, and why it ended."""

    def __init__(self, question: str, n: int) -> None:
        a, b = map(int, ASKED.findall(question)[-1])
        draw = hashlib.sha256(f"{a} {b} {n}".encode()).digest()
        skill = hashlib.sha256(f"{a} {b}".encode()).digest()[0] / 255
        total = a + b if draw[0] / 255 < skill else a + b + 1 + draw[1] % 3
        steps = f"{a} and {b} make {total}."
        self.finish = "stop"
        match draw[2] % 10:
            case 0:  # no mark: a strict filter finds nothing, a flexible one the last number
                self.text = f"{steps} So it is {total}"
            case 1:  # cut at the token limit before the answer
                self.text, self.finish = f"First I take {a}, then", "length"
            case 2:
                self.text = f"{steps}\n#### {total:,}"
            case _:
                self.text = f"{steps}\n#### {total}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = body["messages"][-1]["content"]
        if isinstance(question, list):
            question = question[0]["text"]
        with self.server.lock:  # type: ignore[attr-defined]
            asked: Counter[str] = self.server.asked  # type: ignore[attr-defined]
            n, first = body.get("n") or 1, self.server.first  # type: ignore[attr-defined]
            replies = [Reply(question, first + asked[question] + i) for i in range(n)]
            asked[question] += n
        self._send(_completion(body["model"], question, replies))

    def _send(self, content: dict[str, Any]) -> None:
        payload = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *args: object) -> None:
        """Nothing: the tests' output stays readable."""


def _completion(model: str, question: str, replies: list[Reply]) -> dict[str, Any]:
    """A chat completion; a token is a word."""
    n_prompt = len(question.split())
    n_generated = sum(len(reply.text.split()) for reply in replies)
    return {
        "id": "reply",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [
            {
                "index": i,
                "finish_reason": reply.finish,
                "message": {"role": "assistant", "content": reply.text},
            }
            for i, reply in enumerate(replies)
        ],
        "usage": {
            "prompt_tokens": n_prompt,
            "completion_tokens": n_generated,
            "total_tokens": n_prompt + n_generated,
        },
    }


def make_server(port: int = 0, first: int = 0) -> ThreadingHTTPServer:
    """A server on the loopback interface; port 0 takes a free one."""
    server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    server.lock, server.asked = threading.Lock(), Counter()  # type: ignore[attr-defined]
    server.first = first  # type: ignore[attr-defined]
    return server


@contextmanager
def serving(first: int = 0) -> Iterator[str]:
    """The base URL of a server that ends with the block."""
    server = make_server(first=first)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    make_server(int(sys.argv[1])).serve_forever()
