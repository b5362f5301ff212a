"""What a server refuses, with which status and which of OpenAI's errors."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.serving import ASK, Served, serve
from ttscale.serve.server import Settings

FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({"budget": 0}, "budget", "integer_below_min_value"),
    ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
    ({"max_completion_tokens": -1}, "max_completion_tokens", "integer_below_min_value"),
    ({"temperature": 3}, "temperature", "integer_above_max_value"),
    ({"temperature": -0.5}, "temperature", "decimal_below_min_value"),
    ({"top_p": 0}, "top_p", "integer_below_min_value"),
    ({"temperature": "hot"}, "temperature", "invalid_type"),
    ({"budget": 2.5}, "budget", "invalid_type"),
    ({"seed": True}, "seed", "invalid_type"),
    ({"stop": [""]}, "stop[0]", "invalid_value"),
    ({"stop": ["x"] * 17}, "stop", "invalid_value"),
    ({"n": 2}, "n", "unsupported_parameter"),
    ({"n": 0}, "n", "unsupported_parameter"),
    ({"logprobs": True}, "logprobs", "unsupported_parameter"),
    ({"tools": [{"type": "function"}]}, "tools", "unsupported_parameter"),
    ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
    ({"budgit": 5}, "budgit", "unknown_parameter"),
    ({"model": None}, "model", "invalid_type"),
    ({"messages": []}, "messages", "invalid_value"),
    ({"messages": "hello"}, "messages", "invalid_type"),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", "invalid_value"),
    ({"messages": [*ASK, {"role": "assistant", "content": "x"}]}, "messages", "invalid_value"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "messages[0].content",
        "invalid_value",
    ),
    ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
    (
        {"messages": [{"role": "user", "content": "x" * 40_000}]},
        "messages",
        "context_length_exceeded",
    ),
    (
        {"messages": [{"role": "user", "content": "[simulated problem 0: p=2 answer=1]"}]},
        "",
        "invalid_value",
    ),
]


def test_fields_that_are_wrong_or_cannot_be_honoured(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        for fields, param, code in FIELDS:
            given = {"model": "single", "messages": ASK, **fields}
            refused = await served.post(**given)
            error = refused.json()["error"]
            assert refused.status_code == 400, (fields, error)
            assert error["type"] == "invalid_request_error"
            assert (error["param"] or "", error["code"]) == (param, code), (fields, error)
            assert error["message"] and len(error["message"]) < 500
        assert served.engine.totals().n_streams == 0
        assert await served.metric("ttscale_http_responses_total", status="400") == len(FIELDS)

    serve(tmp_path, test)


def test_fields_that_ask_for_nothing_are_taken(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        done = await served.post(
            model="single", messages=ASK, n=1, logprobs=False, tools=[], tool_choice="auto",
            response_format={"type": "text"}, stop=None, temperature=None, user="me", store=False,
            metadata={"a": "b"}, top_logprobs=0, logit_bias={}, stream=None, modalities=["text"],
        )  # fmt: skip
        assert done.status_code == 200, done.text

    serve(tmp_path, test)


def test_bodies_that_are_no_request(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        url = f"{served.url}/v1/chat/completions"
        for body in (
            b"", b"{", b"nonsense", b"[1]", b'"x"', b"\xff\xfe", b"[" * 100_000,
            b'{"model": "single", "temperature": NaN, "messages": []}',
            b'{"model": "single", "messages": [{"role": "user", "content": "\\ud800"}]}',
        ):  # fmt: skip
            refused = await served.http.post(url, content=body)
            assert refused.status_code == 400, body[:40]
            assert refused.json()["error"]["code"] in {"invalid_json", "invalid_type"}
            assert refused.json()["error"]["type"] == "invalid_request_error"

    serve(tmp_path, test)


def test_a_body_above_the_limit_however_it_is_sent(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        async def parts() -> Any:
            for _ in range(100):
                yield b" " * 1000

        url = f"{served.url}/v1/chat/completions"
        for content in (b" " * 100_000, parts()):
            refused = await served.http.post(url, content=content)
            assert refused.status_code == 413
            assert refused.json()["error"]["code"] == "request_too_large"
        with pytest.raises(openai.APIStatusError) as told:
            long: Any = [{"role": "user", "content": "x" * 50_000}]
            await served.client.chat.completions.create(model="single", messages=long)
        assert told.value.status_code == 413
        assert (await served.post(model="single", messages=ASK)).status_code == 200

    serve(tmp_path, test, Settings(max_body_bytes=20_000))


def test_a_body_that_never_ends_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ttscale.serve.door.BODY_SECONDS", 0.1)

    async def test(served: Served) -> None:
        port = int(served.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{"
        )
        answer = await asyncio.wait_for(reader.read(), 60)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "timeout"
        writer.close()

    serve(tmp_path, test)


def test_without_the_right_key_nothing_is_served(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        url = f"{served.url}/v1"
        for given in (None, "", "Bearer", "Bearer open", "Basic sesame", "sesame", "Bearer sésame"):
            headers = {} if given is None else {"authorization": given.encode()}
            for refused in (
                await served.http.get(f"{url}/models", headers=headers),
                await served.http.get(f"{url}/models/single", headers=headers),
                await served.http.post(f"{url}/chat/completions", headers=headers, content=b"{"),
            ):
                assert refused.status_code == 401, given
                assert refused.json()["error"]["code"] == "invalid_api_key"
                assert refused.headers["www-authenticate"] == "Bearer"
                assert "sesame" not in refused.text and "open" not in refused.text
        right = {"authorization": "bearer sesame"}
        assert (await served.http.get(f"{url}/models", headers=right)).status_code == 200
        assert (await served.http.get(f"{served.url}/health")).status_code == 200

    serve(tmp_path, test, Settings(api_key="sesame"))


def test_the_openai_client_raises_its_own_errors(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        create = served.client.chat.completions.create
        with pytest.raises(openai.NotFoundError, match="did you mean vote") as unknown:
            await create(model="voet", messages=ASK)
        assert unknown.value.code == "model_not_found" and unknown.value.param == "model"
        with pytest.raises(openai.BadRequestError) as nothing:
            await create(model="single", messages=ASK, extra_body={"budget": 0})
        assert nothing.value.param == "budget"
        stranger = served.client.with_options(api_key="wrong")
        with pytest.raises(openai.AuthenticationError) as wrong:
            await stranger.chat.completions.create(model="single", messages=ASK)
        assert "wrong" not in str(wrong.value)
        assert (await create(model="single", messages=ASK)).choices

    serve(tmp_path, test, Settings(api_key="sesame"))


def test_other_places_and_methods(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        for method, path, status, code in (
            ("GET", "/v1/nothing", 404, "unknown_url"),
            ("GET", "/", 404, "unknown_url"),
            ("GET", "/v1/chat/completions", 405, "method_not_supported"),
            ("DELETE", "/v1/models", 405, "method_not_supported"),
            ("GET", "/v1/models/", 404, "model_not_found"),
            ("GET", "/v1/models/a/b", 404, "model_not_found"),
        ):
            refused = await served.http.request(method, served.url + path)
            assert (refused.status_code, refused.json()["error"]["code"]) == (status, code), path

    serve(tmp_path, test)


FAILS = """
from dataclasses import dataclass
from ttscale import Strategy

@dataclass(frozen=True)
class Fails(Strategy):
    async def __call__(self, problem, ctx):
        await ctx.sample(problem.root)
        raise ValueError("\\x1b[31m" + problem.question)
"""

GRADES = FAILS.replace("class Fails", "class Grades").replace(
    'raise ValueError("\\x1b[31m" + problem.question)', "await ctx.grade(ctx.finished)"
)


def test_a_strategy_that_fails_is_the_servers_error(tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text(FAILS)
    (tmp_path / "grades.py").write_text(GRADES)

    async def test(served: Served) -> None:
        done = await served.post(model="fails.py", messages=ASK)
        assert done.status_code == 500
        error = done.json()["error"]
        assert (error["type"], error["code"]) == ("server_error", "strategy_failed")
        assert "simulated problem" not in error["message"]
        (told,) = [line for line in served.said if "ValueError" in line]
        assert error["message"].split()[-1].rstrip(".") in told
        assert "\x1b" not in told and r"\x1b[31m" in told
        with pytest.raises(openai.APIError, match="the server's log says why"):
            stream = await served.client.chat.completions.create(
                model="fails.py", messages=ASK, stream=True
            )
            async for _ in stream:
                pass
        graded = await served.post(model="grades.py", messages=ASK)
        assert graded.status_code == 400
        assert "no reference answer" in graded.json()["error"]["message"]
        assert (
            await served.metric("ttscale_requests_total", model="fails.py", outcome="failed") == 2
        )

    serve(tmp_path, test, strategies=["fails.py", "grades.py"])
