"""vLLM's own OpenAI server, set up as the engine `vllm` sets up vLLM.

    python -m ttscale.engine.openai.server --model embedded --port 8000

Takes the server's options and fills in those that were measured to matter on a CPU. It also turns
on ttscale's plug-in, without which vLLM's engine dies on a CPU when a prompt with a seed is
computed in more than one piece. On a GPU `vllm serve` does as well.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence

from ttscale.engine.vllm_process import (
    EMBEDDED,
    VLLMModel,
    engine_arguments,
    has_gpu,
    model_folder,
    set_environment,
)

MODULE = "vllm.entrypoints.openai.api_server"


def options(given: Sequence[str], *, on_gpu: bool) -> list[str]:
    """The server's options: what was given, and what it leaves open.

    `--model embedded` is the embedded default, served under that name.
    """
    named = {option.partition("=")[0] for option in given}
    words = [word for option in given for word in option.split("=", 1)]
    model = words[words.index("--model") + 1] if "--model" in words else EMBEDDED
    config = VLLMModel(model=model)
    folder = model_folder(config)
    own: dict[str, object] = {"--model": folder or model, "--served-model-name": model}
    if not on_gpu:
        arguments = engine_arguments(config, folder, on_gpu=False)
        own |= {
            "--dtype": arguments["dtype"],
            "--block-size": arguments["block_size"],
            "--kv-cache-memory-bytes": arguments["kv_cache_memory_bytes"],
        }
    found = [*given]
    if "--model" in named:
        found = ["--model", str(own["--model"]), *_without(found, "--model")]
    flags = {"--enable-prompt-tokens-details"} | (set() if on_gpu else {"--enforce-eager"})
    for name, value in own.items():
        if name not in named:
            found += [name, str(value)]
    return found + sorted(flags - named)


def _without(given: Sequence[str], name: str) -> list[str]:
    """Options without one and its value."""
    found, skip = [], False
    for word in given:
        if skip:
            skip = False
        elif word == name:
            skip = True
        elif not word.startswith(f"{name}="):
            found.append(word)
    return found


def main() -> None:
    """Serve until told to stop."""
    on_gpu = has_gpu()
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "INFO")
    set_environment(VLLMModel(), on_gpu)
    sys.argv[1:] = options(sys.argv[1:], on_gpu=on_gpu)
    runpy.run_module(MODULE, run_name="__main__", alter_sys=False)


if __name__ == "__main__":
    main()
