"""Whatever a model writes or a client sends is text, and only text, on its way through a server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.serving import ASK, Served, serve
from ttscale.record.ledger import Totals
from ttscale.serve.refusal import Refusal
from ttscale.serve.request import parse
from ttscale.serve.service import Reply
from ttscale.serve.wire import PIECE, Envelope
from ttscale.thinking import split

HOSTILE = [
    "<script>alert(1)</script></script><!--",
    'data: {"error": {"message": "no"}}\n\ndata: [DONE]\n\n',
    "\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    "\x00\x1b[2J\x07\u2028\u2029\u202e\ufeff",
    "\ud800 half a pair \udfff",
    '"}]}\\" \\u0000',
    "🙂" * (PIECE + 1),
    "a" * 1_000_000,
]


def reply(text: str) -> Reply:
    spent = {"generate": Totals(2, 10, 5, 3, 7)}
    return Reply("answered", split(text), False, 4, spent, float("nan"), 1, 0, {})


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_reply_is_the_same_text_whole_and_in_a_stream(text: str) -> None:
    envelope = Envelope("chatcmpl-1", 0, "m", "f" * 32, simulated=False)
    whole = envelope.whole(reply(text))
    assert whole["choices"][0]["message"]["content"] == text
    data = b"".join(envelope.pieces(reply(text), include_usage=True))
    assert data.isascii()
    events = data.decode().split("\n\n")
    assert events.pop() == ""
    told = ""
    for event in events:
        assert event.startswith("data: {") and "\n" not in event and "\r" not in event
        for choice in json.loads(event.removeprefix("data: "))["choices"]:
            told += choice["delta"].get("content", "")
    assert told == text
    assert json.loads(events[-1].removeprefix("data: "))["usage"]["total_tokens"] == 17


def test_thinking_stands_beside_the_answer() -> None:
    envelope = Envelope("chatcmpl-1", 0, "m", "f" * 32, simulated=False)
    message = envelope.whole(reply("<think>hm</think>42"))["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("hm", "42")
    chunks = [
        json.loads(piece.removeprefix(b"data: "))["choices"][0]["delta"]
        for piece in envelope.pieces(reply("<think>hm</think>42"), include_usage=False)
    ]
    assert chunks == [{"reasoning_content": "hm"}, {"content": "42"}, {}]
    unended = envelope.whole(reply("<think>hm"))["choices"][0]["message"]
    assert (unended["reasoning_content"], unended["content"]) == ("hm", "")


def test_what_a_client_sends_back_is_taken_for_what_it_is() -> None:
    echo = {"role": "assistant", "content": "42", "reasoning_content": "hm", "refusal": None,
            "annotations": [], "tool_calls": None}  # fmt: skip
    asked = parse(json.dumps({"model": "m", "messages": [*ASK, echo, *ASK]}).encode())
    assert asked.messages[1].turn == {"role": "assistant", "content": "42"}
    called = {**echo, "tool_calls": [{"id": "x"}]}
    with pytest.raises(Refusal) as refused:
        parse(json.dumps({"model": "m", "messages": [*ASK, called, *ASK]}).encode())
    assert refused.value.param == "messages[1].tool_calls"


def test_hostile_messages_go_through_to_the_model(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        for text in HOSTILE[:4] + HOSTILE[5:6]:
            asked = {"model": "vote", "messages": [{"role": "user", "content": text}]}
            done = await served.post(**asked)
            assert done.status_code == 200, done.text
            assert "Step 1" in done.json()["choices"][0]["message"]["content"]
        for name in HOSTILE[:6]:
            refused = await served.http.post(
                f"{served.url}/v1/chat/completions",
                content=json.dumps({"model": name, "messages": ASK}),
            )
            assert refused.status_code in {400, 404}
            assert refused.text.isascii() and len(refused.text) < 1000

    serve(tmp_path, test)


ECHO = """
from dataclasses import dataclass, replace
from ttscale import Answer, Strategy

@dataclass(frozen=True)
class Echo(Strategy):
    async def __call__(self, problem, ctx):
        (path,) = await ctx.sample(problem.root)
        return Answer(replace(path, text=problem.question))
"""


def test_the_openai_client_reads_hostile_answers(tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text(ECHO)

    async def test(served: Served) -> None:
        create = served.client.chat.completions.create
        for text in HOSTILE[:4] + HOSTILE[5:7]:
            asked: Any = [{"role": "user", "content": text}]
            whole = await create(model="echo.py", messages=asked)
            assert whole.choices[0].message.content == text
            stream = await create(model="echo.py", messages=asked, stream=True)
            parts = [chunk.choices[0].delta.content or "" async for chunk in stream]
            assert "".join(parts) == text

    serve(tmp_path, test, strategies=["echo.py"])


def test_many_clients_at_once_get_their_own_answers(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        async def ask(number: int) -> None:
            question = f"[simulated problem {number}: p=1.0 answer={number}] What is the answer?"
            stream = await served.client.chat.completions.create(
                model="vote", messages=[{"role": "user", "content": question}], stream=True
            )
            parts = [chunk.choices[0].delta.content or "" async for chunk in stream]
            assert "".join(parts).endswith(f"Answer: {number}")

        await asyncio.gather(*(ask(number) for number in range(64)))
        assert served.engine.totals().n_streams == 64 * 8

    serve(tmp_path, test)
