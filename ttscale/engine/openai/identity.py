"""What a server says it is, checked against what the configuration says it should be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path as FilePath
from typing import Any, NamedTuple

import msgspec

from ttscale.engine.openai.config import EndpointModel
from ttscale.engine.openai.connection import Connection
from ttscale.engine.openai.faults import AnotherModel, Fault
from ttscale.engine.openai.wire import Dialect
from ttscale.engine.tokenizer import Tokenizer
from ttscale.engine.vllm_process import (
    EMBEDDED,
    EMBEDDED_PRM,
    VLLMModel,
    fingerprint,
    model_folder,
    weights_digest,
)
from ttscale.errors import InputError

PROBE = "Let f(x) = 1,234.5 x²; then\n\n\t`f(10)` is"
"""What every server is asked to continue by one token, and to tokenise."""

PROBE_TOLERANCE = 0.1
"""Difference of log-probabilities above which two servers do not serve the same model: far above
what number types and batching make of one (bfloat16 is good for about 0.03)."""


class Local(NamedTuple):
    """What of the model lies on this side.

    Attributes
    ----------
    tokenizer : the model's.
    folder : where its weights lie, None where they do not.
    weights : their identity as the engine `vllm` has it, None where it is not known.
    """

    tokenizer: Tokenizer
    folder: FilePath | None
    weights: str | None


class Trial(NamedTuple):
    """What a server answered to the probe.

    Attributes
    ----------
    dialect : whether it takes and gives token ids.
    logprobs : whether it gives log-probabilities.
    token, value : what it continued the probe with and its log-probability, or the probe's score.
    """

    dialect: Dialect
    logprobs: bool
    token: str
    value: float | None


Probe = Callable[[str, str, Tokenizer, Connection], Awaitable[Trial]]
"""Tries out a server, by its address and its name for the model."""


class Statement(NamedTuple):
    """What a server said of itself.

    Attributes
    ----------
    served_name, root : the model's name there, and what the server loaded, if it says so.
    max_context : tokens of prompt and generation.
    version : of the server's software.
    trial : what it answered to the probe.
    """

    served_name: str
    root: str | None
    max_context: int
    version: str | None
    trial: Trial


def load_local(config: EndpointModel) -> Local:
    """The tokenizer, and the identity of the weights. Raises InputError; takes some seconds."""
    from transformers import AutoConfig, AutoTokenizer

    folder = _folder(config)
    weights = weights_digest(folder) if folder and config.dtype else None
    source = config.tokenizer or str(folder or config.model)
    try:
        own = AutoTokenizer.from_pretrained(source, revision=config.revision)
        if config.dtype and not folder:
            hub = AutoConfig.from_pretrained(config.model, revision=config.revision)
            weights = f"{config.model}@{getattr(hub, '_commit_hash', None) or config.revision}"
    except (OSError, ValueError) as error:
        raise InputError(
            "the model's tokenizer cannot be loaded",
            where=f"model {config.model}",
            got=f"{source}: {error}",
            hint="name a folder or a Hugging Face id with `tokenizer`",
        ) from error
    return Local(Tokenizer(own, config.model), folder, weights)


def _folder(config: EndpointModel) -> FilePath | None:
    """The folder of the weights, if they lie here."""
    named = config.model in {EMBEDDED, EMBEDDED_PRM}
    if named or FilePath(config.model).expanduser().is_dir():
        return model_folder(VLLMModel(model=config.model))
    return None


async def examine(
    url: str, config: EndpointModel, local: Local, http: Connection, probe: Probe
) -> Statement:
    """Ask a server what it is. Raises Fault, and InputError where it is not what it should be."""
    card = await _card(url, config, local, http)
    limit = card.get("max_model_len") or config.max_context
    if limit is None:
        raise InputError(
            "the endpoint does not say how long its context is",
            where=url,
            hint="set `max_context`",
        )
    if config.max_context is not None and limit < config.max_context:
        raise InputError(
            "the endpoint's context is shorter than asked",
            where=url,
            got=f"{limit} tokens, max_context is {config.max_context}",
            hint="serve it with a longer one (vLLM: --max-model-len), or ask for less",
        )
    name = str(card["id"])
    await _check_tokenizer(url, name, local.tokenizer, http)
    trial = await probe(url, name, local.tokenizer, http)
    version = _version(await http.ask(f"{url}/version"))
    context = int(config.max_context or limit)
    return Statement(name, card.get("root"), context, version, trial)


async def _card(url: str, config: EndpointModel, local: Local, http: Connection) -> dict[str, Any]:
    """The server's entry for the model."""
    text = await http.ask(f"{url}/v1/models")
    try:
        listed = msgspec.json.decode(text or "{}").get("data", [])
        cards = {str(card["id"]): card for card in listed}
    except (msgspec.DecodeError, AttributeError, TypeError, KeyError) as error:
        raise InputError("this is no OpenAI-compatible server", where=url, got=text) from error
    if text is None:
        raise InputError(
            "this is no OpenAI-compatible server",
            where=url,
            got="no /v1/models",
            hint="`endpoint` is the address before /v1",
        )
    if config.served_name is not None:
        found = cards.get(config.served_name)
    else:
        found = cards.get(config.model) or next(
            (card for card in listed if _is_root(card.get("root"), config, local)), None
        )
    if found is None:
        raise AnotherModel(
            "the endpoint serves another model than the configuration says",
            where=url,
            got=f"it serves {', '.join(cards) or 'none'}; wanted {_wanted(config)}",
            hint="if it is the same under another name, give that as `served_name`",
        )
    return dict(found)


def _wanted(config: EndpointModel) -> str:
    return config.served_name or config.model


def _is_root(root: str | None, config: EndpointModel, local: Local) -> bool:
    """Whether what the server loaded is the configuration's model."""
    if root is None:
        return False
    return root == config.model or (
        local.folder is not None and FilePath(root).resolve() == local.folder.resolve()
    )


async def _check_tokenizer(url: str, name: str, tokenizer: Tokenizer, http: Connection) -> None:
    """Compare tokenizers, where the server shows its own (vLLM's /tokenize)."""
    try:
        text = await http.ask(f"{url}/tokenize", {"model": name, "prompt": PROBE})
        theirs = msgspec.json.decode(text or "{}").get("tokens")
    except (InputError, Fault, msgspec.DecodeError, AttributeError):
        return
    if theirs is not None and theirs != tokenizer.encode(PROBE).tolist():
        raise AnotherModel(
            "the endpoint's model has another tokenizer than the configuration's",
            where=url,
            got=f"{len(theirs)} tokens for {PROBE!r}, here {len(tokenizer.encode(PROBE))}",
            hint="does it serve the model that `model` names? Or set `tokenizer`",
        )


def _version(text: str | None) -> str | None:
    try:
        return str(msgspec.json.decode(text or "")["version"])
    except (msgspec.DecodeError, TypeError, KeyError):
        return None


def check_same(one: Statement, other: Statement, where: str, what: str) -> None:
    """Raise AnotherModel unless two statements can be of the same model, `other` no shorter."""
    was, now = one.trial, other.trial
    same = one.served_name == other.served_name and was.dialect == now.dialect
    if same and was.value is not None and now.value is not None:
        same = abs(was.value - now.value) < PROBE_TOLERANCE
    if not same:
        raise AnotherModel(
            f"the endpoint does not serve the same model as {what}",
            where=where,
            got=f"{other.served_name}, probe {now.token!r} ({now.value}); "
            f"before: {one.served_name}, probe {was.token!r} ({was.value})",
            hint="all replicas serve one model, the same all the time",
        )
    if other.max_context < one.max_context:
        raise AnotherModel(
            f"the endpoint's context is shorter than that of {what}",
            where=where,
            got=f"{other.max_context} tokens, before: {one.max_context}",
            hint=f"set `max_context: {other.max_context}`",
        )


def make_fingerprint(statement: Statement, config: EndpointModel, local: Local) -> str:
    """What samples depend on besides the call.

    With a `dtype`, and token ids, that of engine `vllm` with the same model and dtype. Otherwise
    the names under which the model is served, and the tokenizer; the server's version is no part of
    it, as the engine's is none elsewhere.
    """
    dialect = statement.trial.dialect
    if config.dtype is not None and dialect == "exact" and local.weights is not None:
        return fingerprint(local.weights, config.dtype, {})
    names = [statement.served_name, statement.root, config.dtype, dialect]
    identity = json.dumps(["endpoint", *names, local.tokenizer.vocabulary])
    return hashlib.sha256(identity.encode()).hexdigest()[:32]
