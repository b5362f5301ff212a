"""What goes over the wire, against the code of vLLM's own server: no model is loaded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ttscale.engine.openai import wire
from ttscale.engine.protocol import Sampling
from ttscale.engine.vllm import VLLMConfig, VLLMEngine

pytestmark = pytest.mark.vllm

CALLS = [
    Sampling(),
    Sampling(temperature=0.0, max_tokens=7, ignore_eos=True),
    Sampling(temperature=0.7, top_p=0.9, top_k=20, min_p=0.05, min_tokens=3),
    Sampling(repetition_penalty=1.1, presence_penalty=0.5, frequency_penalty=-0.5),
    Sampling(stop=("END",), step=("\n\n", "###")),
    Sampling(stop=("END",)),
    Sampling(step_tokens=16, max_tokens=64),
    Sampling(top_logprobs=5),
    Sampling(watch=(5, 9), max_tokens=1),
]


@pytest.mark.parametrize("sampling", CALLS, ids=range(len(CALLS)))
def test_the_server_samples_as_the_engine_in_this_process(sampling: Sampling) -> None:
    from vllm import SamplingParams
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest
    from vllm.sampling_params import RequestOutputKind

    engine = VLLMEngine(VLLMConfig())
    engine._params, engine._kinds = SamplingParams, RequestOutputKind
    own = engine._vllm_params(sampling, 2**62 + 1)
    body = wire.body("m", [1, 2, 3], sampling, 2**62 + 1, logprobs=True, stream_interval=16)
    request = CompletionRequest(**body)
    assert not request.model_extra, "the server knows every field"
    # Whatever the model's generation_config would fill in is said already.
    defaults = {"temperature": 0.1, "top_p": 0.2, "top_k": 3, "min_p": 0.4, "repetition_penalty": 5}
    theirs = request.to_sampling_params(request.max_tokens, defaults)
    for name in (
        "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty",
        "frequency_penalty", "max_tokens", "min_tokens", "stop", "stop_token_ids",
        "include_stop_str_in_output", "ignore_eos", "seed", "logprobs", "logprob_token_ids",
        "skip_special_tokens", "n",
    ):  # fmt: skip
        assert getattr(theirs, name) == getattr(own, name), name
    assert theirs.stream_interval == 16
    assert theirs.output_kind == RequestOutputKind.DELTA


def events(sampling: Sampling, parts: list[dict[str, Any]]) -> list[wire.Chunk]:
    """What vLLM's server streams for a request whose engine gives these parts."""
    from vllm.entrypoints.generate.base.protocol import RequestResponseMetadata
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest
    from vllm.entrypoints.openai.completion.serving import OpenAIServingCompletion
    from vllm.outputs import CompletionOutput, RequestOutput

    serving = object.__new__(OpenAIServingCompletion)
    serving.enable_force_include_usage = serving.return_tokens_as_token_ids = False
    serving.enable_prompt_tokens_details, serving.system_fingerprint = True, None
    serving.enable_per_request_metrics = False
    body = wire.body("m", [1, 2, 3], sampling, 7, logprobs=True, stream_interval=16)

    async def results() -> Any:
        for part in parts:
            finished = "finish_reason" in part
            one = CompletionOutput(index=0, cumulative_logprob=None, **part)
            yield 0, RequestOutput("r", "p", [1, 2, 3], None, [one], finished, num_cached_tokens=2)

    async def main() -> list[wire.Chunk]:
        stream = serving.completion_stream_generator(
            CompletionRequest(**body),
            [{"prompt_token_ids": [1, 2, 3], "prompt": "p"}],
            results(),
            "r",
            0,
            "m",
            1,
            None,
            RequestResponseMetadata(request_id="r"),
        )
        lines = "".join([event async for event in stream]).split("\n")
        data = [line.removeprefix("data: ") for line in lines]
        return [wire.decode_chunk(text) for text in data if text.startswith("{")]

    return asyncio.run(main())


def logprobs(*places: dict[int, float]) -> list[dict[int, Any]]:
    from vllm.logprobs import Logprob

    return [
        {token: Logprob(value, rank, f"<{token}>") for rank, (token, value) in enumerate(p.items())}
        for p in places
    ]


class Words:
    """A tokenizer that needs no words."""

    def decode(self, ids: Any, **_: Any) -> str:
        return "ab\n\n" if len(ids) == 3 else "?"


def test_what_the_server_streams_is_what_was_generated() -> None:
    sampling = Sampling(step=("\n\n",), top_logprobs=2)
    parts = [
        {"text": "a", "token_ids": [11], "logprobs": logprobs({11: -0.5, 12: -1.5})},
        {
            "text": "b\n\n",
            "token_ids": [13, 14],
            "logprobs": logprobs({13: -4.0, 15: -0.25, 16: -1.75}, {14: -0.1, 17: -3.9}),
            "finish_reason": "stop",
            "stop_reason": "\n\n",
        },
    ]
    heard = wire.Heard(sampling, None)
    for chunk in events(sampling, parts):
        heard.add(chunk)
    heard.check([1, 2, 3], "here")
    found = heard.completion(Words(), 0.0, 0.0)  # type: ignore[arg-type]
    assert (list(found.token_ids), found.text, found.finish) == ([11, 13, 14], "ab\n\n", "step")
    assert list(found.logprobs) == pytest.approx([-0.5, -4.0, -0.1])
    assert list(found.confidences) == pytest.approx([1.0, 1.0, 2.0])
    assert found.n_cached_tokens == 2


def test_watched_tokens_come_by_their_ids() -> None:
    sampling = Sampling(watch=(12, 15), max_tokens=1)
    part = {"text": "a", "token_ids": [11], "finish_reason": "length", "stop_reason": None,
            "logprobs": logprobs({11: -0.5, 12: -1.5, 15: float("-inf")})}  # fmt: skip
    heard = wire.Heard(sampling, None)
    for chunk in events(sampling, [part]):
        heard.add(chunk)
    found = heard.completion(Words(), 0.0, 0.0)  # type: ignore[arg-type]
    assert list(found.watched) == [-1.5, float("-inf")] and found.finish == "length"


def test_what_breaks_off_is_no_answer() -> None:
    sampling = Sampling()
    heard = wire.Heard(sampling, None)
    one = {"text": "a", "token_ids": [11], "logprobs": logprobs({11: -0.5})}
    cut = {"text": "", "token_ids": [], "logprobs": [], "finish_reason": "abort"}
    for chunk in events(sampling, [one, cut]):
        heard.add(chunk)
    assert not heard.complete and heard.n_tokens == 1
