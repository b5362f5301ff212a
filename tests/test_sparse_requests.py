"""What is changed in vLLM's own books for sparse requests, without a model."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ttscale.cost.policy import DENSE, parse_policy
from ttscale.engine.sparse import requests

pytestmark = pytest.mark.vllm

BLOCK = 32


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The hashes of a request's full blocks, as the engine's prefix cache takes them."""
    from vllm import SamplingParams
    from vllm.v1.core import kv_cache_utils
    from vllm.v1.request import Request

    original = kv_cache_utils.generate_block_hash_extra_keys
    monkeypatch.setattr(kv_cache_utils, "generate_block_hash_extra_keys", original)
    monkeypatch.setattr(kv_cache_utils, "_ttscale_keeps_apart", False, raising=False)
    requests.keep_generated_blocks_apart()
    hasher = kv_cache_utils.get_request_block_hasher(BLOCK, lambda value: repr(value).encode())
    monkeypatch.setattr(kv_cache_utils, "NONE_HASH", b"none", raising=False)

    def made(name: str, policy: str, n_prompt: int, n_generated: int) -> list[bytes]:
        extra = None if policy == "dense" else {requests.ARGUMENT: policy}
        params = SamplingParams(max_tokens=999, extra_args=extra)
        request = Request(name, list(range(n_prompt)), params, None, block_hasher=hasher)
        for token in range(n_prompt, n_prompt + n_generated):
            request.append_output_token_ids(token)
        return list(request.block_hashes)

    yield made


def test_prompts_have_the_same_blocks_under_every_policy(hashes: Any) -> None:
    dense = hashes("a", "dense", 100, 60)
    assert len(dense) == 5
    for policy in ("quest:64", "block_topk:64"):
        assert hashes("b", policy, 100, 60)[:3] == dense[:3]
        assert hashes("b", policy, 160, 0) == dense, "a whole prompt, whoever wrote it"


def test_blocks_that_a_sparse_request_generated_are_its_own(hashes: Any) -> None:
    dense, sparse = hashes("a", "dense", 100, 60), hashes("b", "quest:64", 100, 60)
    assert set(dense[3:]).isdisjoint(sparse[3:]), "the fourth block holds generated tokens"
    assert set(hashes("c", "quest:64", 100, 60)[3:]).isdisjoint(sparse[3:])
    assert hashes("b", "quest:64", 100, 60) == sparse, "found again after preemption"
    assert hashes("d", "dense", 100, 60) == dense, "dense ones are shared as before"


def test_a_steps_requests_are_read_in_the_order_of_the_batch() -> None:
    params = [SimpleNamespace(extra_args=e) for e in (None, {requests.ARGUMENT: "quest:64"})]
    runner = SimpleNamespace(
        input_batch=SimpleNamespace(
            req_ids=["y", "x"],
            num_prompt_tokens=np.array([7, 40, 0], np.int32),
            num_computed_tokens_cpu=np.array([0, 41, 9], np.int32),
        ),
        requests={
            "x": SimpleNamespace(sampling_params=params[1]),
            "y": SimpleNamespace(sampling_params=params[0]),
            "gone": SimpleNamespace(sampling_params=None),
        },
    )
    found = requests._read(runner, {"x": 1, "y": 7})
    assert found.policies == [DENSE, parse_policy("quest:64")]
    assert found.n_prompt.tolist() == [7, 40] and found.n_computed.tolist() == [0, 41]
    assert found.n_new.tolist() == [7, 1]
    assert requests.policy_of(None) is DENSE, "a request to a reward model has none"


def test_a_backend_without_policies_is_no_silent_way_out() -> None:
    ours = SimpleNamespace(backend=SimpleNamespace(__module__="ttscale.engine.sparse.cpu"))
    other = SimpleNamespace(
        backend=SimpleNamespace(__module__="vllm.v1.attention", get_name=lambda: "FLASHINFER")
    )
    requests._require_sparse_backend([[ours]])
    with pytest.raises(RuntimeError, match="FLASHINFER"):
        requests._require_sparse_backend([[ours], [other]])
