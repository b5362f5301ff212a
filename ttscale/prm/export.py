"""From an adapter to a folder that every engine reads: merged weights in Hugging Face's layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ttscale.prm.llama import HEAD

if TYPE_CHECKING:
    from ttscale.prm.llama import Tensor

WEIGHTS = "model.safetensors"
SHIPPED = Path(__file__).parent / "weights" / "embedded.safetensors"
"""The adapter and head that come with the package, for the embedded model."""

DOWN, UP = ".lora_A", ".lora_B"


def halve(adapter: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The adapter as it is stored: float16 values, here in float32 again."""
    return {name: tensor.detach().half().float() for name, tensor in adapter.items()}


def save(adapter: Mapping[str, Tensor], path: Path) -> None:
    """Write an adapter and its head in float16."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.detach().half().contiguous() for name, tensor in adapter.items()}, path)
    path.chmod(0o644)  # safetensors makes it owner-only


def merge(base: Path, adapter: Path, folder: Path) -> None:
    """Write the policy's weights with an adapter added, and the head, to the new folder `folder`.

    An adapter changes the uppermost layers of those that are kept: what lies above it is left out.
    The result is a `LlamaForSequenceClassification` with one label, whose logit after the sigmoid
    is the chance that the response ends right. The products are summed in float64, so that the
    float32 weights are the same whatever the machine's order of summation.
    """
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    parts = {name: value.astype(np.float64) for name, value in load_file(adapter).items()}
    tensors: dict[str, npt.NDArray[np.float32]] = {HEAD: parts.pop(HEAD).astype(np.float32)}
    depth = 1 + max(map(_layer, parts))
    with safe_open(base / WEIGHTS, framework="np") as weights:
        for name in weights.keys():  # noqa: SIM118 (not a mapping)
            if name == "lm_head.weight" or _layer(name) >= depth:
                continue
            tensors[name] = weights.get_tensor(name)
            stem = name.removesuffix(".weight")
            if (down := parts.pop(stem + DOWN, None)) is not None:
                tensors[name] = (tensors[name] + parts.pop(stem + UP) @ down).astype(np.float32)
    assert not parts, f"the model has no {', '.join(parts)}"
    folder.mkdir()
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    config: dict[str, Any] = json.loads((base / "config.json").read_text(encoding="utf-8"))
    config |= {
        "architectures": ["LlamaForSequenceClassification"],
        "num_hidden_layers": depth,
        "id2label": {"0": "right"},
        "label2id": {"right": 0},
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base / name, folder / name)


def _layer(name: str) -> int:
    """The layer a tensor belongs to, by its name; -1 if to none."""
    words = name.split(".")
    return int(words[2]) if words[1] == "layers" else -1
