"""`ttscale cost` and `ttscale hardware probe`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ttscale import cli
from ttscale.cost import Architecture, Hardware, decode_work, prefill_work, price

BASE = ["cost", "--model", "Qwen3-8B", "--hardware", "H100"]


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Exit status of the command line, in this process."""
    monkeypatch.setattr(sys, "argv", ["ttscale", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def answer(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, Any]:
    assert run([*arguments, "--json"], monkeypatch) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_json_holds_work_price_sizes_and_inputs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*BASE, "--prompt", "256", "--generate", "8192", "--samples", "8"]
    result = answer([*arguments, "--attention", "block_topk:1024"], monkeypatch, capsys)
    model, machine = Architecture.from_config("Qwen3-8B"), Hardware.load("H100")
    work = prefill_work(model, 256)
    work = work + decode_work(model, 256, 8192, attention="block_topk:1024", batch=8) * 8
    parts = {"prefill", "decode", "linear", "attention", "head", "total"}
    assert set(result["flops"]) == parts
    assert set(result["n_bytes"]) == parts | {"weights", "kv", "kv_written"}
    assert result["flops"]["total"] == pytest.approx(float(work.flops.total))
    assert result["n_bytes"]["kv"] == pytest.approx(float(work.n_bytes.attention))
    cost = price(work, machine)
    for key in ("eflops", "seconds", "usd", "joules"):
        assert result[key] == pytest.approx(float(getattr(cost, key)))
    assert result["n_parameters"] == result["n_active_parameters"] == 8_190_735_360
    assert result["kv_bytes_per_token"] == 147_456
    echoed = {"model": "Qwen3-8B", "hardware": "H100", "prompt": 256, "generate": 8192}
    echoed |= {"samples": 8, "attention": "block_topk:1024", "mode": "roofline", "batch": 8}
    assert {key: result[key] for key in echoed} == echoed
    assert result["memory"]["n_sequences"] == 44


def test_kinetics_mode_is_the_published_formula(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*BASE, "--prompt", "256", "--generate", "8192", "--samples", "8"]
    result = answer([*arguments, "--mode", "kinetics"], monkeypatch, capsys)
    assert result["eflops"] / 1e12 == pytest.approx(23680.7616, abs=1e-4)
    assert result["intensity"] == 562.5
    assert result["n_bytes"]["weights"] == 0
    alone = answer([*arguments, "--mode", "kinetics", "--no-shared-reads"], monkeypatch, capsys)
    assert alone["n_bytes"]["kv"] > result["n_bytes"]["kv"]


def test_lists_of_sizes_are_a_sweep(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*BASE, "--generate", "100,200", "--samples", "1,4"]
    sweep = answer(arguments, monkeypatch, capsys)["sweep"]
    assert [(r["generate"], r["samples"]) for r in sweep] == [
        (100, 1),
        (100, 4),
        (200, 1),
        (200, 4),
    ]
    assert run(arguments, monkeypatch) == 0
    table = capsys.readouterr().out
    assert "generate" in table
    assert len(table.strip().splitlines()) == 6


def test_the_table_names_everything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*BASE, "--generate", "60000", "--samples", "9"], monkeypatch) == 0
    printed = capsys.readouterr()
    for word in ("prefill", "decode", "eFLOPs", "USD", "KV cache", "8,190,735,360", "fit"):
        assert word in printed.out
    assert "beyond the context" in printed.err
    assert "only 6 of 9 samples fit" in printed.err


def test_precision_and_devices(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = answer(BASE, monkeypatch, capsys)
    small = answer([*BASE, "--weights", "int4:group=128", "--kv", "fp8"], monkeypatch, capsys)
    assert small["memory"]["weight_bytes"] < 0.4 * plain["memory"]["weight_bytes"]
    assert small["kv_bytes_per_token"] == plain["kv_bytes_per_token"] / 2
    split = answer([*BASE, "--devices", "2"], monkeypatch, capsys)
    assert split["seconds"] == pytest.approx(plain["seconds"] / 2)
    assert split["devices"] == 2


def test_a_config_file_and_a_sheet_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2}
    config |= {"num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 100}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "mine.yaml").write_text(
        "flops: {fp32: 1 TFLOP/s}\nbandwidth: 10 GB/s\nmemory: 1 GB\n"
    )
    arguments = ["cost", "--model", str(tmp_path), "--hardware", str(tmp_path / "mine.yaml")]
    result = answer(arguments, monkeypatch, capsys)
    assert (result["hardware"], result["usd"], result["joules"]) == ("mine", None, None)
    assert run(arguments, monkeypatch) == 0
    assert "unknown" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompt", "-4"], "--prompt must be a whole number"),
        (["--prompt", "many"], "--prompt must be a whole number"),
        (["--samples", "0"], "samples must be a whole number of at least 1"),
        (["--samples", "1,,2"], "--samples must be a whole number"),
        (["--attention", "sparse"], "unknown attention policy"),
        (["--mode", "kinetic"], "did you mean kinetics"),
        (["--batch", "0"], "batch must be above zero"),
        (["--batch", "nan"], "batch must be above zero"),
        (["--devices", "0"], "devices must be at least 1"),
        (["--kv", "fp9"], "unknown number format"),
        (["--hardware", "H10"], "one of A100, B200"),
        (["--model", "Qwen9"], "no model or config file"),
    ],
)
def test_bad_input_is_one_message_and_status_2(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run([*BASE, *arguments], monkeypatch) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""
    assert "Traceback" not in printed.err


def test_probe_writes_where_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ttscale.cost.probe.SIZE", 64)
    monkeypatch.setattr("ttscale.cost.probe.STREAM_BYTES", 1 << 16)
    sheet = tmp_path / "here.yaml"
    arguments = ["hardware", "probe", "--out", str(sheet), "--seconds", "0.01"]
    result = answer(arguments, monkeypatch, capsys)
    assert result["path"] == str(sheet)
    assert Hardware.load(sheet).bandwidth == pytest.approx(result["bandwidth"], rel=1e-3)


def test_the_cost_model_needs_neither_torch_nor_vllm() -> None:
    code = (
        "import sys; from ttscale.cost import *; "
        "print(estimate(Architecture.from_config('Qwen3-8B'), Hardware.load('H100'), "
        "Question(256, 1024, 4))['seconds'] > 0, "
        "{'torch', 'vllm', 'transformers', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True set()"
