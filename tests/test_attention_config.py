"""An attention policy in a configuration: how it is written, spread, keyed, billed and refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.contract.playing import experiment, play
from tests.scripted import make_problem, make_session
from ttscale.context import Context
from ttscale.cost.policy import parse_policy
from ttscale.engine.protocol import AttendsSparsely, Sampling
from ttscale.engine.simulated import SimulatedConfig, SimulatedEngine
from ttscale.engine.sparse.support import check
from ttscale.errors import InputError
from ttscale.record.journal import Journal
from ttscale.run.attention import check_attention, policy_name
from ttscale.run.config import digest, dump, load
from ttscale.run.sweep import arms


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("dense", "dense"),
        ({"policy": "dense"}, "dense"),
        ({"policy": "block_topk", "budget": 1024}, "block_topk:1024"),
        ("block_topk:1024:block=32", "block_topk:1024"),
        ({"policy": "block_topk", "budget": 64, "block": 16}, "block_topk:64:block=16"),
        ({"policy": "quest", "budget": 512, "dense_layers": 2}, "quest:512:dense_layers=2"),
        ({"policy": "window", "budget": 256}, "window:256:sinks=32"),
        ({"policy": "window", "budget": 256, "sinks": 0}, "window:256"),
        ("topk:100", "topk:100:search=1"),
    ],
)
def test_a_policy_has_one_name(given: Any, name: str) -> None:
    assert policy_name(given, "attention") == name
    assert policy_name(name, "attention") == name
    assert str(parse_policy(name)) == name


@pytest.mark.parametrize(
    ("given", "what", "where"),
    [
        ({"policy": "block_topkk", "budget": 64}, "unknown attention policy", "attention.policy"),
        ("sparse:64", "unknown attention policy", "attention"),
        ({"budget": 64}, "needs a policy", "attention.policy"),
        ({"policy": "quest"}, "needs a budget", "attention"),
        ({"policy": "quest", "budget": 16}, "below one block", "attention"),
        ({"policy": "quest", "budget": 100}, "no multiple of the block of 32", "attention"),
        ({"policy": "window", "budget": 64, "sinks": 4}, "sinks of 4", "attention"),
        ({"policy": "quest", "budget": 64, "sinks": 32}, "unknown key", "attention.sinks"),
        ({"policy": "quest", "budget": "many"}, "'many' is not a whole number", "attention"),
        (7, "a policy's name or a mapping", "attention"),
    ],
)
def test_what_is_wrong_with_a_policy_is_told(
    given: Any, what: str, where: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=what) as caught:
        experiment(tmp_path, {"name": "single"}, attention=given)
    assert str(caught.value.where).endswith(f"contract.yaml: {where}")
    with pytest.raises(InputError, match=what) as caught:
        arms(experiment(tmp_path, {"name": "single", "attention": given}))
    assert str(caught.value.where).endswith(f"strategies[0].{where}")


def test_strategies_take_the_experiments_policy_or_their_own(tmp_path: Path) -> None:
    entry = {"name": "single", "attention": ["dense", {"policy": "quest", "budget": [64, 128]}]}
    found = arms(experiment(tmp_path, entry | {"attention": entry["attention"][1]}))
    assert [arm.sampling.attention for arm in found] == ["quest:64", "quest:128"]
    assert [arm.label for arm in found] == ["single(quest:64)", "single(quest:128)"]
    (arm,) = arms(experiment(tmp_path, {"name": "single"}, attention="window:64"))
    assert arm.sampling.attention == "window:64" and arm.label == "single"
    listed = {"name": "single", "attention": ["dense", "quest:64"]}
    found = arms(experiment(tmp_path, listed, attention="window:64"))
    assert [arm.sampling.attention for arm in found] == ["dense", "quest:64"]
    with pytest.raises(InputError, match="at least one value"):
        arms(
            experiment(tmp_path, {"name": "single", "attention": {"policy": "quest", "budget": []}})
        )


def test_the_policy_is_part_of_an_experiment_and_dense_ones_keep_their_hash(tmp_path: Path) -> None:
    dense = experiment(tmp_path, {"name": "single"})
    sparse = experiment(tmp_path, {"name": "single"}, attention="quest:64")
    assert dense.hash == digest(experiment(tmp_path, {"name": "single"}, attention="dense").config)
    assert sparse.hash != dense.hash
    (tmp_path / "again.yaml").write_text(dump(sparse))
    assert load(tmp_path / "again.yaml").config.attention == "quest:64"


def test_samples_are_not_taken_for_those_of_another_policy(tmp_path: Path) -> None:
    """One journal for all: what is sampled under a policy is found again under it alone."""
    streams = {}
    for policy in ("dense", "quest:64", "dense"):
        setup = experiment(tmp_path, {"name": "single"}, attention=policy)
        result = play(setup, tmp_path / "j")
        assert result is not None and result.policies == {policy}
        assert result.engine_streams == (0 if policy in streams else 6)
        streams[policy] = result.chosen
    assert streams["dense"] != streams["quest:64"]


def test_another_model_stays_dense(tmp_path: Path) -> None:
    """A judge has not the policy that its client's attention follows."""
    policy, judge = SimulatedEngine(SimulatedConfig()), SimulatedEngine(SimulatedConfig())
    session = make_session(policy, Journal(tmp_path / "j"))
    session.engines["judge"] = judge
    ctx = Context(session, make_problem(), "arm", Sampling(attention="quest:64", max_tokens=9))
    own, other = ctx.prompt("one"), ctx.prompt("two", model="judge")
    assert ctx._sampling(own, None, {}).attention == "quest:64"
    assert ctx._sampling(other, None, {}).attention == "dense"


class Endpoint:
    """An engine that samples and knows of no policy."""

    model = "far-away"


def test_an_engine_without_policies_says_so(tmp_path: Path) -> None:
    sparse = arms(experiment(tmp_path, {"name": "single"}, attention="quest:64"))
    dense = arms(experiment(tmp_path, {"name": "single"}))
    endpoint: Any = Endpoint()
    check_attention(endpoint, dense, "a.yaml")
    with pytest.raises(InputError, match="act inside vLLM") as caught:
        check_attention(endpoint, sparse, "a.yaml")
    assert caught.value.where == "a.yaml: strategy single: attention"
    simulated = SimulatedEngine(SimulatedConfig())
    assert isinstance(simulated, AttendsSparsely)
    check_attention(simulated, sparse, "a.yaml")


def vllm_config(**changes: Any) -> Any:
    """What vLLM says of a plain model with full attention."""
    text = {"layer_types": None} | changes.pop("text", {})
    model: dict[str, Any] = {
        "hf_text_config": SimpleNamespace(**text),
        "use_mla": False,
        "get_sliding_window": lambda: None,
        "is_hybrid": False,
        "is_attention_free": False,
        "is_encoder_decoder": False,
        "uses_alibi": False,
        "get_num_layers": lambda _: 30,
    }
    cache = {"block_size": 32, "cache_dtype": "auto"}
    for key in list(changes):
        (cache if key in cache else model)[key] = changes.pop(key)
    return SimpleNamespace(
        model_config=SimpleNamespace(**model),
        cache_config=SimpleNamespace(**cache),
        parallel_config=SimpleNamespace(decode_context_parallel_size=1),
        speculative_config=None,
    )


@pytest.mark.parametrize(
    ("changes", "policy", "what"),
    [
        ({"use_mla": True}, "quest:64", "latent attention"),
        ({"get_sliding_window": lambda: 4096}, "quest:64", "sliding-window"),
        ({"text": {"layer_types": ["full_attention", "sliding_attention"]}}, "quest:64", "sliding"),
        ({"is_hybrid": True}, "quest:64", "without a KV cache"),
        ({"uses_alibi": True}, "quest:64", "ALiBi"),
        ({"cache_dtype": "fp8_e4m3"}, "quest:64", "quantised"),
        ({"block_size": 16}, "quest:64", "blocks of 16 tokens"),
        ({"block_size": 64}, "window:96", "a budget of 96 is no multiple"),
        ({}, "quest:64:dense_layers=30", "every layer would stay dense"),
    ],
)
def test_models_that_cannot_be_sparse_are_refused(
    changes: dict[str, Any], policy: str, what: str
) -> None:
    check("dense", vllm_config(**changes))
    with pytest.raises(InputError, match=what):
        check(policy, vllm_config(**changes))


def test_other_models_are_not() -> None:
    for policy in ("quest:64", "block_topk:1024", "window:96:sinks=32", "topk:7"):
        check(policy, vllm_config())
