"""An endpoint against the engine in this process and vLLM's benchmark client; two against one.

    python -m tests.benchmarks.endpoint same          # in this process and at two servers
    python -m tests.benchmarks.endpoint throughput    # best_of_n and `vllm bench serve`
    python -m tests.benchmarks.endpoint affinity      # beam_search over two replicas and over one
    python -m tests.benchmarks.endpoint scores        # a reward model here and at a server

The embedded model on servers of this machine (`python -m ttscale.engine.openai.server`), each with
a KV cache of 1 GiB. Prints one JSON object for each part.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path as FilePath
from typing import Any

import pyarrow.parquet as pq
import yaml

from tests.contract.playing import Silent
from ttscale.benchmark.source import load as load_items
from ttscale.engine import embedded
from ttscale.engine.openai.config import OpenAIConfig, OpenAIRewardConfig
from ttscale.engine.openai.engine import OpenAIEngine
from ttscale.engine.openai.scorer import OpenAIScorer
from ttscale.engine.protocol import Scorer, Solution
from ttscale.engine.reward import RewardConfig, RewardEngine
from ttscale.engine.reward.format import RewardFormat
from ttscale.record.journal import Journal
from ttscale.record.ledger import Ledger
from ttscale.run.attempt import attempt
from ttscale.run.config import Experiment, load
from ttscale.run.display import QuietDisplay
from ttscale.run.judging import Judge
from ttscale.run.prepare import prepare
from ttscale.run.runner import run
from ttscale.run.sweep import arms
from ttscale.session import Session
from ttscale.trace import TOKEN

N_PROBLEMS, N_SAMPLES, N_TOKENS, CONCURRENCY, N_TURNS = 24, 8, 24, 64, 3

SUMS: dict[str, Any] = {
    "reasoning_gym": {"task": "chain_sum", "params": {"max_terms": 4, "max_digits": 2}},
    "seed": 1,
    "extract": "last_number",
}


@contextlib.contextmanager
def servers(n: int, *options: str, model: str = "embedded") -> Iterator[list[str]]:
    """Servers of a model, once they answer; each has its share of this machine's cores."""
    cores = sorted(os.sched_getaffinity(0))
    ports = []
    for _ in range(n):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    command = [sys.executable, "-m", "ttscale.engine.openai.server", "--model", model,
               "--kv-cache-memory-bytes", "1G", "--max-model-len", "1024",
               "--disable-uvicorn-access-log", *options]  # fmt: skip
    log = FilePath(tempfile.gettempdir()) / "endpoint-servers.log"
    with log.open("ab") as file:
        started = []
        for i, port in enumerate(ports):
            os.sched_setaffinity(0, cores[i::n] or cores)  # what is started inherits it
            started.append(
                subprocess.Popen([*command, "--port", str(port)], stdout=file, stderr=file)
            )
        os.sched_setaffinity(0, cores)
    try:
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        deadline = time.monotonic() + 240
        for process, url in zip(started, urls, strict=True):
            while not _answers(url):
                assert process.poll() is None and time.monotonic() < deadline, f"see {log}"
                time.sleep(0.5)
        yield urls
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=2) as reply:
        return bool(reply.status == 200)
    return False


def endpoint(urls: Sequence[str], **requests: Any) -> dict[str, Any]:
    return {
        "endpoint": list(urls),
        "model": "embedded",
        "dtype": "float32",
        "requests": requests,
    }


def same(folder: FilePath) -> dict[str, Any]:
    """One experiment through two servers, then through vLLM in this process."""
    config: dict[str, Any] = {
        "benchmark": {**SUMS, "size": 12},
        "sampling": {"max_tokens": 32},
        "strategies": [
            {"name": "single", "label": "greedy", "sampling": {"temperature": 0.0}},
            {"name": "majority_vote", "n": 8, "sampling": {"temperature": 0.7}},
        ],
    }

    def play(name: str, model: dict[str, Any]) -> FilePath:
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"name": name, "model": model, **config}))
        return run(load(path), folder / "results", QuietDisplay(), fresh=True)

    with servers(2) as urls:
        remote = play("remote", endpoint(urls))
    local = play("local", {"model": "embedded", "max_context": 1024, "kv_cache_gib": 1})
    calls = [_calls(run_folder) for run_folder in (local, remote)]
    tables = [pq.read_table(d / "answers.parquet").to_pylist() for d in (local, remote)]
    greedy = [
        (one["answer"], other["answer"])
        for one, other in zip(*tables, strict=True)
        if one["arm"] == "greedy"
    ]
    accuracy = [
        statistics.mean(bool(row["correct"]) for row in table if row["arm"] != "greedy")
        for table in tables
    ]
    responses = [
        {(r["problem_id"], r["sample_set"], r["sample_index"]): r["response"] for r in rows}
        for rows in (pq.read_table(d / "pool.parquet").to_pylist() for d in (local, remote))
    ]
    same_text = [responses[0][key] == responses[1].get(key) for key in responses[0]]
    cold = [key for key in responses[0] if "temperature=0.0" in key[1]]
    return {
        "n_calls": len(calls[0]),
        "same_keys": calls[0] == calls[1],
        "n_greedy": len(greedy),
        "greedy_answers_equal": sum(a == b for a, b in greedy),
        "greedy_responses_equal": sum(responses[0][k] == responses[1].get(k) for k in cold),
        "n_responses": len(same_text),
        "responses_equal": sum(same_text),
        "majority_accuracy_in_process_and_endpoint": [round(x, 3) for x in accuracy],
    }


def _calls(folder: FilePath) -> set[tuple[bytes, int]]:
    db = sqlite3.connect(folder / "journal.sqlite")
    try:
        return set(db.execute("SELECT base, stream FROM calls").fetchall())
    finally:
        db.close()


async def _play(
    experiment: Experiment, settings: OpenAIConfig, journal_path: FilePath
) -> dict[str, Any]:
    """All arms of an experiment at an endpoint; seconds without start-up."""
    engine = OpenAIEngine(settings)
    journal, chosen = Journal(journal_path), arms(experiment)
    await engine.start()
    items = load_items(experiment.config.benchmark, folder=experiment.folder)
    problems = prepare(experiment, engine, items, chosen, Silent())
    async with Judge(experiment.config, journal) as judge:
        ledger = Ledger()
        session = Session(engine, journal, ledger, judge, seed=experiment.config.seed)
        started = time.perf_counter()
        await asyncio.gather(
            *(
                asyncio.create_task(attempt(session, experiment, arm, problem))
                for arm in chosen
                for problem in problems
            )
        )
        seconds = time.perf_counter() - started
    await engine.close()
    journal.close()
    totals = ledger.totals()["generate"]
    return {"seconds": seconds, **totals._asdict()}


def _experiment(folder: FilePath, urls: Sequence[str], requests: Any, **config: Any) -> Experiment:
    path = folder / "endpoint.yaml"
    path.write_text(yaml.safe_dump({"model": endpoint(urls, **requests), **config}))
    return load(path)


def throughput(folder: FilePath) -> dict[str, Any]:
    """`best_of_n` and vLLM's benchmark client in turn, at the same concurrency on one server."""
    with servers(1) as urls:
        rates = _rates(folder, urls)
    ratios = {
        name: statistics.median(a / b for a, b in zip(rates["best_of_n"], rates[name], strict=True))
        for name in rates
    }
    return {
        "tokens_per_second": {name: [round(x, 1) for x in rate] for name, rate in rates.items()},
        "ratio_to": {name: round(ratio, 3) for name, ratio in ratios.items()},
    }


def _rates(folder: FilePath, urls: Sequence[str]) -> dict[str, list[float]]:
    """Generated tokens per second, by turns, after one that fills the prefix cache for all."""
    rates: dict[str, list[float]] = {}
    for turn in range(N_TURNS + 1):
        experiment = _experiment(
            folder,
            urls,
            {"in_flight": CONCURRENCY},
            seed=turn,
            benchmark={**SUMS, "size": N_PROBLEMS},
            sampling={"temperature": 0.7, "max_tokens": N_TOKENS, "ignore_eos": True},
            strategies=[{"name": "best_of_n", "n": N_SAMPLES, "verifier": "mean_logprob"}],
        )
        model = experiment.config.model
        assert isinstance(model, OpenAIConfig), "the model is at an endpoint"
        done = asyncio.run(_play(experiment, model, folder / f"{turn}.sqlite"))
        assert done["n_generated_tokens"] == N_PROBLEMS * N_SAMPLES * N_TOKENS
        if turn == 0:
            continue
        rate = done["n_generated_tokens"] / done["seconds"]
        rates.setdefault("best_of_n", []).append(rate)
        for name, more in (("bench", []), ("bench_logprobs", ["--logprobs", "0"])):
            rate = _bench(urls[0], experiment, folder, more)
            rates.setdefault(name, []).append(rate)
        print(rates, file=sys.stderr, flush=True)
    return rates


BENCH = (
    "import argparse; from vllm.benchmarks import serve; p = argparse.ArgumentParser(); "
    "serve.add_cli_args(p); serve.main(p.parse_args())"
)
"""`vllm bench serve` without the console script, which the CPU wheel's name breaks."""


def _bench(url: str, experiment: Experiment, folder: FilePath, more: Sequence[str]) -> float:
    """Output tokens per second by vLLM's client: the same prompts, tokens and concurrency."""
    from transformers import AutoTokenizer

    model = embedded.ensure()
    tokenizer = AutoTokenizer.from_pretrained(model)
    lines = []
    for item in load_items(experiment.config.benchmark, folder=folder):
        turns = [{"role": "user", "content": item.question}]
        prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        lines += [json.dumps({"prompt": prompt})] * N_SAMPLES
    (folder / "prompts.jsonl").write_text("\n".join(lines))
    body = {"seed": int(time.time()), "add_special_tokens": False}
    command = [sys.executable, "-c", BENCH, "--backend", "openai", "--base-url", url,
               "--model", str(model), "--served-model-name", "embedded", "--temperature", "0.7",
               "--dataset-name", "custom", "--dataset-path", str(folder / "prompts.jsonl"),
               "--custom-output-len", str(N_TOKENS), "--skip-chat-template",
               "--disable-shuffle", "--num-prompts", str(len(lines)),
               "--max-concurrency", str(CONCURRENCY), "--ignore-eos", "--disable-tqdm",
               "--extra-body", json.dumps(body), *more]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Output token throughput \(tok/s\):\s+([\d.]+)", done.stdout)
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    assert re.search(rf"Total generated tokens:\s+{len(lines) * N_TOKENS}\b", done.stdout), done
    return float(found[1])


def affinity(folder: FilePath) -> dict[str, Any]:
    """The prefix cache's hit rate in a beam search over one server, and over two."""
    with servers(2) as urls:
        found = _hit_rates(folder, urls)
    found["difference_in_points"] = round(
        100 * (found["one"]["hit_rate"] - found["two"]["hit_rate"]), 2
    )
    return found


def _hit_rates(folder: FilePath, urls: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, chosen in (("one", urls[:1]), ("two", urls)):
        before = [_cache(url) for url in urls]
        experiment = _experiment(
            folder,
            chosen,
            {},
            seed=len(chosen),
            benchmark={**SUMS, "size": 16},
            sampling={"temperature": 0.8, "max_tokens": 64, "ignore_eos": True},
            step={"tokens": 16},
            strategies=[{"name": "beam_search", "n": 8, "width": 4, "verifier": "mean_logprob"}],
        )
        model = experiment.config.model
        assert isinstance(model, OpenAIConfig), "the model is at an endpoint"
        done = asyncio.run(_play(experiment, model, folder / f"{name}.sqlite"))
        counts = [
            (after[0] - hits, after[1] - asked)
            for (hits, asked), after in zip(before, map(_cache, urls), strict=True)
        ]
        hits, asked = (sum(count) for count in zip(*counts, strict=True))
        found[name] = {
            "hit_rate": round(hits / asked, 4),
            "prompt_tokens_by_server": [int(count[1]) for count in counts],
            "seconds": round(done["seconds"], 1),
            "shared_tokens_ideal": done["n_shared_tokens"],
            "cached_tokens_reported": done["n_cached_tokens"],
        }
    return found


def _cache(url: str) -> tuple[float, float]:
    """Tokens found in, and asked of, a server's prefix cache since its start."""
    text = urllib.request.urlopen(f"{url}/metrics", timeout=10).read().decode()
    hits, asked = (
        sum(
            float(n)
            for n in re.findall(rf"^vllm:prefix_cache_{name}_total{{.*}} (\S+)$", text, re.M)
        )
        for name in ("hits", "queries")
    )
    return hits, asked


POOLING = (
    "--runner", "pooling",
    "--pooler-config", '{"task": "token_classify", "tok_pooling_type": "ALL"}',
)  # fmt: skip


def scores(folder: FilePath) -> dict[str, Any]:
    """The embedded reward model's scores of the same sequences in this process and at a server."""

    solutions = [
        Solution(f"{i} + {i + 1} + 4", (f"{i} + {i + 1} = {2 * i + 1}", f"{2 * i + 1} + 4 = {i}"),
                 array(TOKEN), (), 0)
        for i in range(8)
    ]  # fmt: skip
    form = RewardFormat(layout="pieces", question="Problem: {question}\n", step="{step}\n")

    async def given(scorer: Scorer) -> list[float]:
        await scorer.start()
        try:
            found = await asyncio.gather(
                *(scorer.score(*scorer.lay_out(solution)) for solution in solutions)
            )
            return [value for scored in found for value in scored.values]
        finally:
            await scorer.close()

    with servers(1, *POOLING, model="embedded_prm") as own_urls:
        config = OpenAIRewardConfig(
            endpoint=tuple(own_urls), model="embedded_prm", dtype="float32", format=form
        )
        remote = asyncio.run(given(OpenAIScorer(config)))
    own = RewardConfig(model="embedded_prm", max_context=1024, kv_cache_gib=1, format=form)
    local = asyncio.run(given(RewardEngine(own, folder / "prm.log")))
    pairs = list(zip(local, remote, strict=True))
    return {
        "n_scores": len(pairs),
        "range": [round(min(local), 4), round(max(local), 4)],
        "greatest_difference": max(abs(a - b) for a, b in pairs),
    }


def main() -> None:
    """Measure what is named and print a JSON object for each."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    parts = {part.__name__: part for part in (same, throughput, affinity, scores)}
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:]:
            own = FilePath(folder) / name
            own.mkdir()
            print(json.dumps({name: parts[name](own)}), flush=True)


if __name__ == "__main__":
    main()
