"""What ttscale changes inside vLLM's own processes, through its plug-in entry point.

vLLM calls `register` in every process it starts. It does nothing unless the process belongs to a
ttscale engine, so an installed ttscale leaves other users of vLLM alone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any

OWNER = "TTSCALE_ENGINE_OWNER"
"""Environment variable holding the process id of the engine's owner."""


def register() -> None:
    """Entry point of the group `vllm.general_plugins`."""
    owner = os.environ.get(OWNER)
    if owner is None:
        return
    if int(owner) != os.getpid():
        _leave_interrupts_to_owner()
        _end_with_owner()
    _keep_generators_of_partial_prefills()
    _keep_likeliest_beside_watched()
    _register_reward_models()
    _attend_sparsely_on_request()


def _register_reward_models() -> None:
    """Architectures of reward models that vLLM does not have; loaded when one is asked for."""
    from vllm import ModelRegistry

    name = "Qwen2ForPrmModel"
    if name not in ModelRegistry.get_supported_archs():
        ModelRegistry.register_model(name, f"ttscale.engine.reward.skywork:{name}")


def _leave_interrupts_to_owner() -> None:
    """Ctrl-C reaches the whole process group; only the owner decides what it means."""
    real = signal.signal

    def keep_ignoring(number: int, handler: Any) -> Any:
        return real(number, signal.SIG_IGN if number == signal.SIGINT else handler)

    signal.signal = keep_ignoring  # type: ignore[assignment]
    real(signal.SIGINT, signal.SIG_IGN)


def _end_with_owner() -> None:
    """Have the kernel end this process when its parent dies, even by SIGKILL (Linux)."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() == 1:
            os._exit(1)


def _keep_generators_of_partial_prefills() -> None:
    """Let seeded requests be prefilled in chunks on CPU.

    vLLM rewinds the random generators of rows whose prefill is not complete by their offset, which
    CPU generators do not have: the engine dies. Their state is kept and put back instead, and the
    rows are hidden from the rewinding. (Seen in vLLM 0.32; without effect on other devices.)
    """
    import torch

    if torch.cuda.is_available():
        return
    import numpy as np
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner as Runner

    if getattr(Runner, "_ttscale_keeps_generators", False):
        return
    sample, bookkeeping = Runner._sample, Runner._bookkeeping_sync

    def partial_rows(runner: Any) -> list[int]:
        generators = runner.input_batch.generators
        if not generators:
            return []
        discarded = runner.discard_request_mask.np[: runner.input_batch.num_reqs]
        return [int(row) for row in np.flatnonzero(discarded) if int(row) in generators]

    def _sample(self: Any, *args: Any, **kwargs: Any) -> Any:
        generators = self.input_batch.generators
        states = {row: generators[row].get_state() for row in partial_rows(self)}
        output = sample(self, *args, **kwargs)
        for row, state in states.items():
            generators[row].set_state(state)
        return output

    def _bookkeeping_sync(self: Any, *args: Any, **kwargs: Any) -> Any:
        generators = self.input_batch.generators
        hidden = {row: generators.pop(row) for row in partial_rows(self)}
        try:
            return bookkeeping(self, *args, **kwargs)
        finally:
            generators.update(hidden)

    Runner._sample, Runner._bookkeeping_sync = _sample, _bookkeeping_sync
    Runner._ttscale_keeps_generators = True


def _keep_likeliest_beside_watched() -> None:
    """Let requests for watched tokens and for the likeliest ones share a batch.

    vLLM gives every row of a batch the log-probabilities of the tokens that some row names, and
    minus infinity for the rows that named none: a judge that reads P(Yes) would take away the
    confidences of all samples made meanwhile. Rows that name no tokens keep their likeliest ones.
    (Seen in vLLM 0.32.)
    """
    import torch.nn.functional as tensors
    from vllm.v1.sample.sampler import Sampler

    if getattr(Sampler, "_ttscale_keeps_likeliest", False):
        return
    forward, gather = Sampler.forward, Sampler.gather_specific_token_logprobs

    def _forward(self: Any, logits: Any, sampling_metadata: Any, *args: Any, **kwargs: Any) -> Any:
        self._n_likeliest = sampling_metadata.max_num_logprobs
        return forward(self, logits, sampling_metadata, *args, **kwargs)

    def _gather(self: Any, logprobs: Any, watched: dict[int, list[int]], sampled: Any) -> Any:
        named = gather(self, logprobs, watched, sampled)
        if named is None or self._n_likeliest is None or self._n_likeliest < 0:
            return named
        likeliest = self.gather_logprobs(logprobs, self._n_likeliest, token_ids=sampled)
        n_named, n_likeliest = named.logprobs.shape[1], likeliest.logprobs.shape[1]
        wider = (0, max(n_named - n_likeliest, 0))
        ids = tensors.pad(likeliest.logprob_token_ids, wider)
        values = tensors.pad(likeliest.logprobs, wider, value=float("-inf"))
        rows = list(watched)
        ids[rows, :n_named] = named.logprob_token_ids[rows]
        values[rows, :n_named] = named.logprobs[rows]
        return named._replace(logprob_token_ids=ids, logprobs=values)

    Sampler.forward, Sampler.gather_specific_token_logprobs = _forward, _gather
    Sampler._ttscale_keeps_likeliest = True


def _attend_sparsely_on_request() -> None:
    """Attention by the policy that a request names (`ttscale.engine.sparse`); others as before."""
    from vllm.platforms import current_platform

    from ttscale.engine.sparse import requests

    requests.bring_to_attention()
    requests.keep_generated_blocks_apart()
    from vllm.v1.attention.backends.registry import AttentionBackendEnum, register_backend

    place = "ttscale.engine.sparse"
    if current_platform.is_cpu():
        register_backend(AttentionBackendEnum.CPU_ATTN, f"{place}.cpu.SparseCPUBackend")
    elif current_platform.is_cuda():
        register_backend(AttentionBackendEnum.FLASH_ATTN, f"{place}.flash.SparseFlashBackend")
