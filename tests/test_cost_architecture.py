"""Architectures: read from a config alone, and equal to what transformers builds and computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ttscale.cost import Architecture, architecture_names, decode_work, prefill_work
from ttscale.cost.families import FAMILIES
from ttscale.errors import InputError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

PUBLISHED = {  # parameters as Hugging Face counts the published weights, a tied head once
    "Qwen3-0.6B": 596_049_920,
    "Qwen3-8B": 8_190_735_360,
    "Qwen3-32B": 32_762_123_264,
    "Qwen3-30B-A3B": 30_532_122_624,
    "Qwen3-235B-A22B": 235_093_634_560,
    "Qwen2.5-7B-Instruct": 7_615_616_512,
    "Qwen2.5-72B-Instruct": 72_706_203_648,
    "Llama-3.2-1B-Instruct": 1_235_814_400,
    "Llama-3.1-8B-Instruct": 8_030_261_248,
    "Llama-3.1-405B-Instruct": 405_853_388_800,
    "SmolLM2-135M-Instruct": 134_515_008,
    "SmolLM3-3B": 3_075_098_624,
    "Mistral-7B-Instruct-v0.3": 7_248_023_552,
    "Mixtral-8x7B-Instruct-v0.1": 46_702_792_704,
    "gemma-2-27b-it": 27_227_128_320,
    "gemma-3-1b-it": 999_885_952,
    "Phi-3-mini-4k-instruct": 3_821_079_552,
    "phi-4": 14_659_507_200,
    "DeepSeek-V3": 671_026_404_352,
    "gpt-oss-20b": 20_914_757_184,
    "gpt-oss-120b": 116_829_156_672,
    "OLMo-2-1124-7B-Instruct": 7_298_617_344,
}

SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 5,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 250,
    "max_position_embeddings": 128,
    "sliding_window": 16,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 48,
    "q_lora_rank": 40,
    "kv_lora_rank": 32,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "first_k_dense_replace": 2,
    "n_shared_experts": 2,
    "shared_expert_intermediate_size": 80,
    "n_group": 1,
    "topk_group": 1,
}
EXPERTS = dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 6)
OPTIONS = (
    *("attention_bias", "mlp_bias", "use_bias", "qkv_bias", "use_qkv_bias", "use_qk_norm"),
    *("qk_layernorm", "attention_out_bias", "lm_head_bias", "tie_word_embeddings"),
)
GPT2 = {"n_embd": 64, "n_layer": 5, "n_head": 8, "n_positions": 128, "vocab_size": 250}
CHECKED = sorted(set(FAMILIES) - {"generic", "kimi_k2"})  # kimi_k2's code is not in transformers


def small_config(family: str, **changes: Any) -> Any:
    """A small config of a family, keeping those fields that its class knows."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    cls = CONFIG_MAPPING[family]
    fields = set(cls.__dataclass_fields__) | set(cls.attribute_map)
    values = GPT2 if family == "gpt2" else SMALL | EXPERTS
    # Helium's output matrix takes head_dim = hidden_size / heads for granted.
    values = values | {"head_dim": 8 if family == "helium" else 24}
    return cls(**{key: value for key, value in (values | changes).items() if key in fields})


def meta_model(config: Any) -> Any:
    """The model transformers builds, without memory for its weights."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def as_read(config: Any) -> dict[str, Any]:
    """What `config.json` would hold."""
    values: dict[str, Any] = json.loads(config.to_json_string(use_diff=True))
    return values


@pytest.mark.parametrize("options", [None, True, False])
@pytest.mark.parametrize("family", CHECKED)
def test_small_models_have_the_parameters_transformers_builds(
    family: str, options: bool | None
) -> None:
    changes = {} if options is None else dict.fromkeys(OPTIONS, options)
    config = small_config(family, **changes)
    built = sum(weight.numel() for weight in meta_model(config).parameters())
    read = Architecture.from_config(as_read(config))
    assert read.n_parameters == built
    types = getattr(config, "layer_types", None)
    if types is not None:
        windows = [config.sliding_window if "sliding" in name else None for name in types]
        assert [layer.window for layer in read.layers] == windows
        bare = {key: value for key, value in as_read(config).items() if key != "layer_types"}
        assert Architecture.from_config(bare).layers == read.layers


@pytest.mark.parametrize("name", architecture_names())
def test_full_size_models_have_the_parameters_transformers_builds(name: str) -> None:
    from transformers import AutoConfig

    from ttscale.cost.catalog import _architectures

    config = dict(_architectures()[name])
    config.pop("quantization_config", None)
    model = meta_model(AutoConfig.for_model(**config))
    read = Architecture.from_config(name)
    assert read.n_parameters == sum(weight.numel() for weight in model.parameters())
    assert read.n_parameters == PUBLISHED.get(name, read.n_parameters)


def test_sizes_of_the_models_known_by_name() -> None:
    read = Architecture.from_config
    assert set(PUBLISHED) <= set(architecture_names())
    assert read("Qwen3-30B-A3B").n_active_parameters == 3_353_032_704
    assert read("DeepSeek-V3").kv_bytes_per_token == 61 * (512 + 64) * 2
    assert read("openai/GPT-OSS-20B").weight_bytes == pytest.approx(13.76e9, rel=1e-3)
    tied, untied = read("Qwen3-0.6B"), read("Qwen3-8B")
    assert tied.n_parameters - tied.n_head == tied.n_linear + norms(tied)
    assert untied.n_parameters - 2 * untied.n_head == untied.n_linear + norms(untied)


def norms(architecture: Architecture) -> int:
    return architecture.n_vector + sum(layer.n_vector for layer in architecture.layers)


RUN = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 24},
    "gemma2": {"head_dim": 16},
    "gemma3_text": {"head_dim": 16},
    "mixtral": {},
    "gpt_oss": {"head_dim": 16},
    "deepseek_v3": {"num_key_value_heads": 8},
    "phi3": {"sliding_window": None},
    "starcoder2": {"sliding_window": None},
    "gpt2": {},
}


@pytest.mark.parametrize("family", RUN)
def test_flops_equal_those_counted_in_forward_passes(family: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoModelForCausalLM

    config = small_config(family, num_hidden_layers=4, **RUN[family])
    config._experts_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    read = Architecture.from_config(as_read(config))

    def counted(n_tokens: int, cache: Any) -> tuple[int, Any]:
        tokens = torch.randint(3, 200, (1, n_tokens))
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            out = model(tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return counter.get_total_flops(), out.past_key_values

    n_prompt = 40
    flops, cache = counted(n_prompt, None)
    ours = prefill_work(read, n_prompt).flops
    # Eager attention multiplies the full square and masks half of it (more under a window).
    square = sum(layer.prefill_pair_flops for layer in read.layers) * n_prompt**2
    assert flops == ours.linear + ours.head + square
    assert ours.attention < square
    for context in range(n_prompt + 1, n_prompt + 4):
        flops, cache = counted(1, cache)
        ours = decode_work(read, context - 1, 1).flops
        if family == "deepseek_v3":
            # Eager latent attention expands the whole cache to full heads at every step, where
            # engines absorb the expansion into the query.
            expanded = sum(
                layer.prefill_pair_flops * context + layer.expand_flops * (context - 1)
                for layer in read.layers
            )
            assert flops == ours.linear + ours.head + expanded
        else:
            assert flops == ours.total


def test_a_prefill_that_continues_a_cache_costs_what_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoModelForCausalLM

    for family in ("llama", "deepseek_v3"):
        config = small_config(family, **RUN[family])
        config._experts_implementation = "eager"
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
        read = Architecture.from_config(as_read(config))
        with torch.no_grad():
            cache = model(torch.randint(3, 200, (1, 30))).past_key_values
            with FlopCounterMode(display=False) as counter:
                model(torch.randint(3, 200, (1, 10)), past_key_values=cache, logits_to_keep=1)
        ours = prefill_work(read, 10, 30).flops
        masked = sum(layer.prefill_pair_flops for layer in read.layers) * (10 * 9 // 2)
        assert counter.get_total_flops() == ours.total + masked


def test_config_files_folders_and_text_models_inside_others(tmp_path: Path) -> None:
    config = as_read(small_config("llama"))
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    read = Architecture.from_config(folder)
    assert read.name == "tiny"
    assert read == Architecture.from_config(str(folder / "config.json"))
    inside = Architecture.from_config({"model_type": "llava", "text_config": config})
    assert inside.layers == read.layers
    assert "text model alone" in inside.notes[0]


def test_quantised_weights_and_caches() -> None:
    config = as_read(small_config("llama"))
    plain = Architecture.from_config(config | {"dtype": "bfloat16"})
    matrices = sum(layer.n_matrix for layer in plain.layers)
    awq = config | {"dtype": "float16"}
    awq["quantization_config"] = {"quant_method": "awq", "bits": 4, "group_size": 32}
    read = Architecture.from_config(awq)
    assert read.precision.matrix_bits == 4 + 20 / 32
    assert (
        plain.weight_bytes - read.weight_bytes == matrices * (16 - read.precision.matrix_bits) / 8
    )
    assert read.precision.compute == "fp16"
    fp8 = config | {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
    assert Architecture.from_config(fp8).precision.compute == "fp8"
    weights = {"num_bits": 8, "type": "float"}
    scheme = {"quant_method": "compressed-tensors", "kv_cache_scheme": {"num_bits": 8}}
    scheme["config_groups"] = {"group_0": {"weights": weights, "input_activations": weights}}
    read = Architecture.from_config(config | {"quantization_config": scheme})
    assert (read.precision.compute, read.precision.kv_bits) == ("fp8", 8)
    assert read.kv_bytes_per_token == plain.kv_bytes_per_token / 2
    by_hand = plain.with_precision(weights="int4:group=128", kv="int4:group=64")
    assert by_hand.precision.matrix_bits == 4.125
    assert by_hand.kv_bytes_per_token == plain.kv_bytes_per_token * 4.25 / 16
    assert plain.with_precision("fp32").weight_bytes == 2 * plain.weight_bytes


def test_a_model_described_by_hand() -> None:
    sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
    config = {key: SMALL[key] for key in (*sizes, "intermediate_size")}
    by_hand = Architecture.from_config({"model_type": "generic", **config})
    assert by_hand.layers == Architecture.from_config({"model_type": "llama", **config}).layers
    assert {layer.window for layer in by_hand.layers} == {None}
    narrow = Architecture.from_config({"model_type": "generic", "sliding_window": 16, **config})
    assert {layer.window for layer in narrow.layers} == {16}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_key_value_heads": 3}, "not a multiple of num_key_value_heads"),
        ({"head_dim": None, "hidden_size": 60}, "hidden_size is not a multiple"),
        ({"hidden_size": None, "vocab_size": None}, "lacks hidden_size, vocab_size"),
        ({"hidden_size": -64}, "hidden_size must be a whole number of at least 1"),
        ({"intermediate_size": "wide"}, "intermediate_size must be a whole number"),
        ({"num_hidden_layers": 4.5}, "num_hidden_layers must be a whole number"),
        ({"model_type": "lama"}, "unknown architecture 'lama'"),
        ({"model_type": None}, "unknown architecture ''"),
        ({"attention_bias": "maybe"}, "attention_bias must be true or false"),
        ({"layer_types": ["full_attention"]}, "one entry for each of the 5 layers"),
        ({"layer_types": ["round_attention"] * 5}, "unknown layer type 'round_attention'"),
        ({"num_experts": 4}, "lacks num_experts_per_tok"),
        ({"num_experts": 4, "num_experts_per_tok": 5}, "more active experts than experts"),
        ({"dtype": "int3"}, "unknown number format 'int3'"),
        ({"quantization_config": {"quant_method": "magic"}}, "cannot read the quantisation"),
        ({"quantization_config": {"quant_method": "gptq"}}, "must be a number above zero"),
    ],
)
def test_bad_configs_say_what_is_wrong(changes: dict[str, Any], message: str) -> None:
    config = as_read(small_config("llama")) | {"dtype": "bfloat16"}
    with pytest.raises(InputError, match=message):
        Architecture.from_config(config | changes)


def test_an_unknown_architecture_says_what_describes_it_by_hand() -> None:
    with pytest.raises(InputError, match="num_key_value_heads") as error:
        Architecture.from_config({"model_type": "transmogrifier"})
    assert "model_type: generic" in str(error.value)


def test_bad_sources_say_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "empty").mkdir()
    for source, message in (
        ("Qwen3-9B", "did you mean Qwen3-8B"),
        (tmp_path / "list.json", "must hold one mapping"),
        (tmp_path / "broken.json", "not JSON"),
        (tmp_path / "empty", "no config.json"),
    ):
        with pytest.raises(InputError, match=message):
            Architecture.from_config(source)


def test_context_beyond_the_model_is_a_warning() -> None:
    model = Architecture.from_config("Qwen3-8B")
    assert model.context_warning(40_960) is None
    assert "40,960" in str(model.context_warning(40_961))
