"""Skywork-o1's process reward models in vLLM: Qwen2 with a value head under names of its own.

vLLM knows no architecture of this name; `ttscale.engine.vllm_plugin` registers it. (Head and
prompt as in Skywork's own inference code, SkyworkAI/skywork-o1-prm-inference.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from vllm.model_executor.models.adapters import as_seq_cls_model
from vllm.model_executor.models.qwen2 import Qwen2ForCausalLM


class Qwen2ForPrmModel(as_seq_cls_model(Qwen2ForCausalLM)):  # type: ignore[misc]
    """One output at every token: the step's value before the sigmoid."""

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        vllm_config.model_config.hf_config.num_labels = 1
        super().__init__(vllm_config=vllm_config, prefix=prefix)

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> Any:
        """Load a checkpoint whose head is `v_head.summary`."""
        return super().load_weights(_renamed(weights))


def _renamed(weights: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    for name, weight in weights:
        own = name.removeprefix("pretrained_model.").replace("v_head.summary.", "score.")
        if not own.startswith("lm_head."):
            yield own, weight
