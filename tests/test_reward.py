"""Reward models: their formats, and vLLM's scores beside transformers' on the same tokens."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path as FilePath
from typing import Any

import pytest
import yaml

from ttscale.engine.protocol import ContextTooLong, Scorer, Solution
from ttscale.engine.reward import RewardConfig, RewardEngine, RewardFormat
from ttscale.errors import InputError
from ttscale.trace import TOKEN

SOLUTION = Solution("1+1?", ("one", "two"), array(TOKEN, range(100, 112)), (6, 11), 5)
SHIPPED = [
    "math-shepherd-7b",
    "qwen2.5-math-prm-7b",
    "rlhflow-prm-8b",
    "skywork-o1-prm-1.5b",
    "skywork-reward-8b",
]


class Characters:
    """A tokenizer of characters, in which <…> is one token."""

    bos = "^"

    def __init__(self) -> None:
        self.names: dict[str, int] = {}

    def encode(self, text: str, *, special: bool = True) -> array[int]:
        ids: array[int] = array(TOKEN)
        while text:
            size = text.index(">") + 1 if text.startswith("<") and ">" in text else 1
            ids.append(self.names.setdefault(text[:size], len(self.names)))
            text = text[size:]
        return ids

    def encode_chat(
        self, messages: Sequence[Mapping[str, str]], *, reply: bool = True
    ) -> array[int]:
        text = "".join(f"<{m['role'][0]}>{m['content']}<end>" for m in messages)
        return self.encode(text + "<a>" * reply)

    def decode(self, ids: Sequence[int]) -> str:
        names = {number: name for name, number in self.names.items()}
        return "".join(names[i] for i in ids)


def prefixes(prompt_format: RewardFormat) -> list[str]:
    """The text up to each position of the two-step solution."""
    tokenizer = Characters()
    layout = prompt_format.lay_out(SOLUTION, tokenizer)
    assert layout.positions[-1] == len(layout.token_ids) - 1
    return [tokenizer.decode(layout.token_ids[: end + 1]) for end in layout.positions]


def shipped(name: str) -> dict[str, Any]:
    text = (files("ttscale") / "configs" / "models" / f"{name}.yaml").read_text("utf-8")
    section: dict[str, Any] = yaml.safe_load(text)
    return section


def test_the_policys_own_tokens() -> None:
    layout = RewardFormat().lay_out(SOLUTION, Characters())
    assert layout == (SOLUTION.token_ids, (6, 11))


def test_the_policys_tokens_of_the_response_behind_a_question_of_its_own() -> None:
    tokenizer = Characters()
    own = RewardFormat(layout="response", question="Q: {question}\n")
    question = tokenizer.encode("Q: 1+1?\n")
    layout = own.lay_out(SOLUTION, tokenizer)
    assert layout.token_ids == question + SOLUTION.token_ids[5:]
    assert [layout.token_ids[place] for place in layout.positions] == [106, 111]
    first = own.lay_out(SOLUTION._replace(ends=(6,)), tokenizer)
    assert first == (layout.token_ids[:-5], layout.positions[:1])


def test_the_published_formats() -> None:
    formats = {name: RewardConfig.model_validate(shipped(name)).format for name in SHIPPED}
    system = "<s>Please reason step by step, and put your final answer within \\boxed{}.<end>"
    assert prefixes(formats["qwen2.5-math-prm-7b"]) == [
        f"{system}<u>1+1?<end><a>one<extra_0>",
        f"{system}<u>1+1?<end><a>one<extra_0>two<extra_0>",
    ]
    assert prefixes(formats["math-shepherd-7b"]) == ["1+1? one ки", "1+1? one ки\ntwo ки"]
    assert prefixes(formats["rlhflow-prm-8b"]) == [
        "<u>1+1? one<end><a>",
        "<u>1+1? one<end><a>+<end><u>two<end><a>",
    ]
    assert prefixes(formats["skywork-o1-prm-1.5b"]) == ["^1+1?\none\n", "^1+1?\none\ntwo\n"]
    assert prefixes(formats["skywork-reward-8b"]) == ["<u>1+1?<end><a>onetwo<end>"]


def test_a_format_that_hides_something_is_refused() -> None:
    with pytest.raises(InputError, match="shows the question and every step"):
        RewardFormat(layout="chat", step="<mark>")
    with pytest.raises(InputError, match="needs a mark"):
        RewardFormat(layout="text")


def test_a_mark_the_tokenizer_splits_is_refused() -> None:
    class Splitting(Characters):
        def encode(self, text: str, *, special: bool = True) -> array[int]:
            return super().encode(text.replace("<extra_0>", "extra" if special else "<extra_0>"))

    with pytest.raises(InputError, match="does not have the mark"):
        RewardFormat(layout="text", step="{step}<extra_0>", mark="<extra_0>").lay_out(
            SOLUTION, Splitting()
        )


def test_a_folder_that_only_generates_is_refused(tmp_path: FilePath) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    engine = RewardEngine(RewardConfig(model=str(tmp_path)))
    with pytest.raises(InputError, match="holds no reward model"):
        asyncio.run(engine.start())


# --- vLLM beside transformers ---------------------------------------------------------------------

Expected = Callable[[Any], Any]
"""Token ids (1, n) as a tensor to the score at every token, (n,)."""


def small(config_class: Any, **changes: Any) -> Any:
    sizes = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512}
    return config_class(vocab_size=49152, **sizes, **heads, **changes)


def save(model: Any, folder: FilePath) -> Any:
    """Random weights with some spread, in float32, beside the embedded tokenizer."""
    import torch
    from transformers import AutoTokenizer

    from ttscale.engine import embedded

    model = model.float().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "score" in name or "summary" in name or "lm_head" in name:
                weight.mul_(20)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(embedded.ensure()).save_pretrained(folder)
    return model


def classifier(folder: FilePath, n_labels: int) -> Expected:
    import torch
    from transformers import LlamaConfig, LlamaForSequenceClassification

    config = small(LlamaConfig, num_labels=n_labels, pad_token_id=0)
    model = save(LlamaForSequenceClassification(config), folder)

    def expected(ids: Any) -> Any:
        logits = model.score(model.model(ids).last_hidden_state)[0]
        return torch.sigmoid(logits[:, 0]) if n_labels == 1 else logits.softmax(-1)[:, 1]

    return expected


def language_model(folder: FilePath) -> Expected:
    """Math-Shepherd's and RLHFlow's kind: the probability of the good token, of two."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    model = save(LlamaForCausalLM(small(LlamaConfig, tie_word_embeddings=False)), folder)
    verdict = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(["-", "+"])
    return lambda ids: model(ids).logits[0][:, verdict].softmax(-1)[:, 1]


def qwen_prm(folder: FilePath) -> Expected:
    """Qwen2.5-Math-PRM's head: two layers to two classes."""
    import torch
    from transformers import Qwen2Config, Qwen2Model

    class Qwen2ForProcessRewardModel(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, config: Any) -> None:
            super().__init__()
            self.model = Qwen2Model(config)
            size = config.hidden_size
            self.score = torch.nn.Sequential(
                torch.nn.Linear(size, size), torch.nn.ReLU(), torch.nn.Linear(size, 2)
            )

    return own_head(Qwen2ForProcessRewardModel, small(Qwen2Config), folder, softmax=True)


def skywork(folder: FilePath) -> Expected:
    """Skywork-o1's head: one value, with a bias, under names of its own."""
    import torch
    from transformers import Qwen2Config, Qwen2Model

    class Qwen2ForPrmModel(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, config: Any) -> None:
            super().__init__()
            self.model = Qwen2Model(config)
            self.v_head = torch.nn.Module()
            self.v_head.summary = torch.nn.Linear(config.hidden_size, 1)

    return own_head(Qwen2ForPrmModel, small(Qwen2Config), folder, softmax=False)


def own_head(cls: Any, config: Any, folder: FilePath, *, softmax: bool) -> Expected:
    """Save a model of a class that transformers does not have."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoTokenizer

    from ttscale.engine import embedded

    model = cls(config).float().eval()
    head = model.score if softmax else model.v_head.summary
    with torch.no_grad():
        for weight in head.parameters():
            weight.mul_(8)
    folder.mkdir(exist_ok=True)
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    config.architectures = [cls.__name__]
    config.save_pretrained(folder)
    AutoTokenizer.from_pretrained(embedded.ensure()).save_pretrained(folder)

    def expected(ids: Any) -> Any:
        logits = head(model.model(ids).last_hidden_state)[0]
        return logits.softmax(-1)[:, 1] if softmax else torch.sigmoid(logits[:, 0])

    return expected


KINDS: dict[str, tuple[Callable[[FilePath], Expected], dict[str, Any]]] = {
    "one label": (lambda folder: classifier(folder, 1), {}),
    "two labels": (lambda folder: classifier(folder, 2), {}),
    "language model": (language_model, {"verdict": {"bad": "-", "good": "+"}}),
    "qwen prm": (qwen_prm, {}),
    "skywork": (skywork, {}),
}


@pytest.mark.vllm
@pytest.mark.parametrize("kind", KINDS)
def test_scores_equal_those_of_transformers(kind: str, tmp_path: FilePath) -> None:
    import torch

    make, changes = KINDS[kind]
    torch.manual_seed(0)
    with torch.no_grad():
        expected = make(tmp_path / "model")
        ids = torch.randint(5, 40_000, (1, 150))
        wanted = expected(ids)[:].tolist()
    tokens = array(TOKEN, ids[0].tolist())
    assert max(wanted) - min(wanted) > 0.2, "scores that are all alike would show nothing"
    config = RewardConfig.model_validate(
        {"model": str(tmp_path / "model"), "max_context": 256, "kv_cache_gib": 0.25, **changes}
    )

    async def main() -> None:
        engine = RewardEngine(config, tmp_path / "engine.log")
        await engine.start()
        try:
            assert isinstance(engine, Scorer)
            for positions in ([10, 70, 149], [149], [20, 40, 149]):
                scores = await engine.score(tokens, positions)
                assert list(scores.values) == pytest.approx(
                    [wanted[i] for i in positions], abs=1e-3
                )
            (cached,) = await asyncio.gather(engine.score(tokens, [149]))
            assert cached.n_cached_tokens == 128  # whole blocks of 32
            with pytest.raises(ContextTooLong):
                engine.score(array(TOKEN, [1] * 300), [299])
        finally:
            await engine.close()

    asyncio.run(main())
