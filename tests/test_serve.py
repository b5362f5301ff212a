"""The server against the real `openai` client and curl: answers, streams, usage, limits."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import shutil
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.serving import ASK, QUESTION, SLOW, Heard, Served, serve, until, write
from ttscale.benchmark.source import load as load_items
from ttscale.context import Context
from ttscale.record.ephemeral import EphemeralJournal
from ttscale.record.ledger import Ledger
from ttscale.record.pool import read_pool
from ttscale.run.config import load
from ttscale.run.runner import run
from ttscale.serve.server import Settings
from ttscale.session import Session
from ttscale.trace import Path as TracePath


def test_every_strategy_is_a_model(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        listed = [model.id async for model in served.client.models.list()]
        assert listed == ["single", "vote", "best"]
        one = await served.client.models.retrieve("vote")
        assert (one.id, one.object, one.owned_by) == ("vote", "model", "ttscale")
        with pytest.raises(openai.NotFoundError):
            await served.client.models.retrieve("votes")

    serve(tmp_path, test)


def test_the_openai_client_gets_an_answer_and_what_it_cost(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        done = await served.client.chat.completions.create(model="vote", messages=ASK, seed=1)
        (choice,) = done.choices
        assert choice.message.role == "assistant" and choice.finish_reason == "stop"
        assert "Answer: " in str(choice.message.content)
        totals = served.engine.totals()
        assert totals.n_streams == 8
        assert done.usage is not None and done.usage.prompt_tokens_details is not None
        assert done.usage.prompt_tokens == totals.n_prompt_tokens
        assert done.usage.completion_tokens == totals.n_generated_tokens
        assert done.usage.total_tokens == totals.n_prompt_tokens + totals.n_generated_tokens
        assert done.usage.prompt_tokens_details.cached_tokens == totals.n_cached_tokens
        account: Any = done.model_extra
        assert account["ttscale"]["status"] == "answered"
        assert account["ttscale"]["simulated"] is True
        beside = done.usage.completion_tokens_details
        assert beside is not None and beside.reasoning_tokens is not None
        answer_tokens = account["ttscale"]["answer_tokens"]
        assert answer_tokens > len(str(choice.message.content)) - 1
        assert beside.reasoning_tokens == totals.n_generated_tokens - answer_tokens

    serve(tmp_path, test)


def test_what_the_verifier_takes_is_in_the_usage(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        done = await served.client.chat.completions.create(model="best", messages=ASK, seed=1)
        account: Any = done.model_extra
        calls = account["ttscale"]["spent"]
        assert calls["generate"]["n_sequences"] == 4
        assert calls["score"]["n_sequences"] == 4 == calls["score"]["n_generated_tokens"]
        totals = served.engine.totals()
        assert done.usage is not None
        assert done.usage.completion_tokens == totals.n_generated_tokens
        assert done.usage.prompt_tokens == totals.n_prompt_tokens
        assert await served.metric(
            "ttscale_tokens_total", model="best", call="score", kind="generated"
        ) == 4  # fmt: skip

    serve(tmp_path, test)


def test_a_stream_says_the_same_as_a_whole_reply(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        whole = await served.client.chat.completions.create(model="vote", messages=ASK, seed=7)
        stream = await served.client.chat.completions.create(
            model="vote", messages=ASK, seed=7, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert chunks[0].choices[0].delta.role == "assistant"
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert text == whole.choices[0].message.content
        assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
        assert not chunks[-1].choices and chunks[-1].usage is not None
        assert whole.usage is not None
        assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
        assert {chunk.usage for chunk in chunks[:-1]} == {None}
        assert len({chunk.id for chunk in chunks}) == 1
        plain = await served.client.chat.completions.create(
            model="vote", messages=ASK, seed=7, stream=True
        )
        rest = [chunk async for chunk in plain]
        assert all(chunk.choices and chunk.usage is None for chunk in rest)

    serve(tmp_path, test)


def test_a_seed_gives_the_same_answer_and_none_another_one(tmp_path: Path) -> None:
    async def ask(served: Served, **fields: Any) -> str:
        done = await served.client.chat.completions.create(model="single", messages=ASK, **fields)
        return str(done.choices[0].message.content)

    async def test(served: Served) -> None:
        seeded = [await ask(served, seed=seed) for seed in (3, 3, -3)]
        assert seeded[0] == seeded[1] != seeded[2]
        assert len({await ask(served) for _ in range(4)}) == 4

    serve(tmp_path, test)


def test_a_runs_seed_gives_the_runs_samples(tmp_path: Path) -> None:
    experiment = load(write(tmp_path, {"strategies": ["single"]}))
    rows = read_pool(run(experiment, tmp_path / "runs", Heard(), fresh=False)).table.to_pylist()
    questions = [item.question for item in load_items(experiment.config.benchmark, folder=tmp_path)]

    async def test(served: Served) -> None:
        for row, question in zip(rows, questions, strict=True):
            asked: Any = [{"role": "user", "content": question}]
            done = await served.client.chat.completions.create(
                model="single", messages=asked, seed=experiment.config.seed
            )
            assert done.choices[0].message.content == row["response"]

    serve(tmp_path, test, Settings(template=True))


def test_the_lengths_and_the_budget_of_a_request(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        create = served.client.chat.completions.create
        short = await create(model="vote", messages=ASK, max_completion_tokens=20)
        assert short.choices[0].finish_reason == "length"
        assert len(str(short.choices[0].message.content)) == 20
        assert short.usage is not None and short.usage.completion_tokens == 8 * 20
        older = await create(model="vote", messages=ASK, max_tokens=10)
        assert older.usage is not None and older.usage.completion_tokens == 8 * 10
        body = {"budget": 250}
        bounded = await create(model="vote", messages=ASK, max_tokens=100, extra_body=body)
        assert bounded.usage is not None and 100 < bounded.usage.completion_tokens <= 250
        account: Any = bounded.model_extra
        assert account["ttscale"]["status"] == "out of budget"
        little = await create(model="vote", messages=ASK, extra_body={"budget": 50})
        assert little.usage is not None and little.usage.completion_tokens == 50
        assert little.choices[0].finish_reason == "length"
        assert str(little.choices[0].message.content).startswith("Step 1")
        ends = await create(model="single", messages=ASK, stop="Answer", seed=1)
        assert "Answer" not in str(ends.choices[0].message.content)
        assert ends.choices[0].finish_reason == "stop"

    serve(tmp_path, test)


def test_the_experiments_budget_and_length_are_not_exceeded(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        done = await served.client.chat.completions.create(
            model="vote", messages=ASK, max_tokens=5000, extra_body={"budget": 5000}
        )
        assert done.usage is not None and done.usage.completion_tokens <= 120

    serve(tmp_path, test, sampling={"max_tokens": 60}, budget={"generated_tokens": 120})


def test_without_an_answer_the_first_whole_sample_is_shown(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        done = await served.client.chat.completions.create(model="vote", messages=ASK, seed=1)
        account: Any = done.model_extra
        assert account["ttscale"]["status"] == "no answer"
        assert account["ttscale"]["abstained"] == 8
        assert str(done.choices[0].message.content).startswith("Step 1")

    benchmark = {"simulated": {}, "size": 2, "extract": {"regex": "never (said)"}}
    serve(tmp_path, test, benchmark=benchmark)


def test_curl_works(tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not on this machine")

    async def fetch(*words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            curl, "-sS", "--max-time", "120", *words, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        return out.decode()

    async def test(served: Served) -> None:
        key = ("-H", "Authorization: Bearer sesame")
        url = f"{served.url}/v1/chat/completions"
        asked = json.dumps({"model": "vote", "messages": ASK})
        done = json.loads(await fetch(url, *key, "-d", asked))
        assert done["object"] == "chat.completion" and done["choices"][0]["message"]["content"]
        streamed = json.dumps({"model": "vote", "messages": ASK, "stream": True})
        lines = (await fetch("-N", url, *key, "-d", streamed)).split("\n\n")
        events = [line.removeprefix("data: ") for line in lines if line]
        assert events[-1] == "[DONE]"
        assert all(json.loads(event)["choices"] for event in events[:-1])
        refused = json.loads(await fetch(url, "-d", asked))
        assert refused["error"]["code"] == "invalid_api_key"
        assert json.loads(await fetch(f"{served.url}/health")) == {"status": "ok"}
        assert "ttscale_requests_total" in await fetch(f"{served.url}/metrics")
        big = tmp_path / "big.json"
        big.write_text(json.dumps({"model": "x" * (5 << 20)}))
        for expect in ((), ("-H", "Expect:"), ("-H", "Transfer-Encoding: chunked")):
            told = await fetch(url, *key, *expect, "-d", f"@{big}")
            assert json.loads(told)["error"]["code"] == "request_too_large"

    serve(tmp_path, test, Settings(api_key="sesame"))


def test_what_the_page_shows_works(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "serve.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    (curl,) = re.findall(r"```sh\n(curl .*?)```", page, flags=re.DOTALL)

    async def test(served: Served) -> None:
        asked = curl.partition(" -d ")[2].strip().strip("'")
        done = await served.post(**json.loads(asked))
        assert done.status_code == 200
        found: dict[str, Any] = {}
        await asyncio.to_thread(exec, code.replace("http://127.0.0.1:8000", served.url), found)
        assert found["done"].usage.completion_tokens <= 2000
        assert found["done"].choices[0].message.content

    serve(tmp_path, test, strategies=[{"name": "majority_vote", "n": 16}])


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_cancels_its_engine_requests(tmp_path: Path, stream: bool) -> None:
    async def test(served: Served) -> None:
        asked = {"model": "vote", "messages": ASK, "stream": stream}
        post = served.http.stream("POST", f"{served.url}/v1/chat/completions", json=asked)

        async def ask() -> None:
            async with post as response:
                async for _ in response.aiter_lines():
                    pass

        asking = asyncio.create_task(ask())
        await until(lambda: served.engine.load().running == 8)
        await asyncio.sleep(0.2)  # so that something is written
        asking.cancel()
        await until(lambda: served.engine.load().running == 0)
        await until(lambda: not served.service.gate.running)
        totals = served.engine.totals()
        assert totals.n_lost_streams == 0
        assert await served.metric(
            "ttscale_tokens_total", model="vote", call="generate", kind="abandoned"
        ) == totals.n_generated_tokens > 0  # fmt: skip
        assert await served.metric(
            "ttscale_requests_total", model="vote", outcome="cancelled"
        ) == 1  # fmt: skip
        assert await served.metric("ttscale_engine_streams_running") == 0

    serve(tmp_path, test, model=SLOW)


def test_nothing_of_a_request_stays_behind(tmp_path: Path) -> None:
    def left() -> list[object]:
        gc.collect()
        kinds = {Session, Context, Ledger, TracePath, EphemeralJournal}
        return [one for one in gc.get_objects() if type(one) in kinds]

    async def test(served: Served) -> None:
        before = len(left())
        for model in ("vote", "best", "single"):
            for stream in (False, True):
                asking = [
                    asyncio.create_task(served.post(model=model, messages=ASK, stream=stream))
                    for _ in range(4)
                ]
                await until(lambda: served.engine.load().running > 0)
                asking[0].cancel()
                await asyncio.gather(*asking, return_exceptions=True)
        gate = served.service.gate
        await until(lambda: gate.running == gate.waiting == 0)
        del asking
        assert len(left()) == before

    timing = {"time_scale": 1.0, "round_seconds": 0.002}
    serve(tmp_path, test, model={"engine": "simulated", "timing": timing})


def test_one_request_too_many_is_turned_away(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        create, gate = served.client.chat.completions.create, served.service.gate
        asking = [asyncio.create_task(create(model="single", messages=ASK)) for _ in range(3)]
        await until(lambda: gate.waiting == 1 and served.engine.load().running == 2)
        assert gate.running == 2
        with pytest.raises(openai.RateLimitError) as refused:
            await create(model="single", messages=ASK)
        assert refused.value.code == "rate_limit_exceeded"
        assert refused.value.response.headers["retry-after"] == "1"
        for task in asking:
            task.cancel()
        await until(lambda: gate.running == gate.waiting == 0)

    serve(tmp_path, test, Settings(concurrency=2, queue=1), model=SLOW)


def test_a_silent_stream_is_kept_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ttscale.serve.stream.KEEP_ALIVE_SECONDS", 0.05)

    async def test(served: Served) -> None:
        asked = {"model": "single", "messages": ASK, "stream": True}
        url = f"{served.url}/v1/chat/completions"
        async with served.http.stream("POST", url, json=asked) as response:
            lines = [line async for line in response.aiter_lines() if line]
        assert lines[0].startswith("data: ")
        comments = [line for line in lines if line.startswith(":")]
        assert comments and set(comments) == {": working"}
        assert lines[-1] == "data: [DONE]"

    timing = {"time_scale": 1.0, "round_seconds": 0.01}
    serve(tmp_path, test, model={"engine": "simulated", "timing": timing})


def test_several_turns_reach_the_model(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        ask = served.client.chat.completions.create
        first = await ask(model="single", messages=ASK, seed=1)
        again = [
            {"role": "system", "content": "Be brief."},
            *ASK,
            first.choices[0].message.model_dump(),
            {"role": "user", "content": [{"type": "text", "text": f"Once more: {QUESTION}"}]},
        ]
        more: Any = again
        done = await ask(model="single", messages=more, seed=1)
        assert done.usage is not None and first.usage is not None
        assert done.usage.prompt_tokens > 2 * first.usage.prompt_tokens
        assert "Step 1: " in str(done.choices[0].message.content)

    serve(tmp_path, test)


def test_an_engine_that_dies_ends_the_server(tmp_path: Path) -> None:
    async def test(served: Served) -> None:
        asking = asyncio.create_task(served.post(model="vote", messages=ASK))
        await until(lambda: served.engine.load().running == 8)
        served.engine.die()
        assert (await asking).status_code == 503
        assert (await asking).json()["error"]["code"] == "engine_died"
        assert served.service.death.is_set()
        assert any("the engine died" in line for line in served.said)

    serve(tmp_path, test, model=SLOW)
