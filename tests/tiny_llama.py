"""A tiny random Llama in Hugging Face's layout, and a few responses in its tokens."""

from __future__ import annotations

import json
from array import array
from pathlib import Path

from ttscale.prm.labelling import Labelled, Sampled
from ttscale.trace import TOKEN

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "hidden_size": 24,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
    "num_attention_heads": 6,
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 100.0,
    "tie_word_embeddings": True,
    "vocab_size": 50,
    "pad_token_id": 0,
}


def make_tiny_llama(folder: Path) -> Path:
    """Write the model to the new folder `folder`."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, LlamaConfig

    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text("{}")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(LlamaConfig(**CONFIG))
    tensors = {
        name: torch.randn_like(tensor) * (0.3 if tensor.dim() > 1 else 1.0)
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"
    }
    save_file(tensors, folder / "model.safetensors")
    return folder


def ids(*numbers: int) -> array[int]:
    return array(TOKEN, numbers)


PROBLEMS = [
    Labelled(
        "a",
        "",
        ids(7, 8, 9, 1, 2),
        [
            Sampled(ids(3, 4, 5, 6), (2, 4), (), True),
            Sampled(ids(3, 4, 5, 9), (2, 4), (), False, n_prefix=2),
            Sampled(ids(3, 6, 4), (3,), (), False),
        ],
    ),
    Labelled("b", "", ids(7, 8, 9, 2), [Sampled(ids(5, 4, 3), (1, 2, 3), (), True)]),
    Labelled("c", "", ids(7, 8, 9, 4), [Sampled(ids(5, 9, 3), (1, 2, 3), (), False)]),
]
