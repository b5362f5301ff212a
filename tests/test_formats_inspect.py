"""What inspect 0.3.285 wrote about a local endpoint, as pools."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.formats.found import EVAL, JSON
from ttscale.errors import InputError
from ttscale.formats.imported import Choices
from ttscale.formats.importing import Import, import_files
from ttscale.formats.zipped import opened

MATCH = Choices(metric="match")


def read(*files: Path, choices: Choices = MATCH) -> Import:
    return import_files("inspect", files, choices)


def rewritten(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The JSON log, changed."""
    log = json.loads(JSON.read_text())
    change(log)
    path = tmp_path / "log.json"
    path.write_text(json.dumps(log))
    return path


@pytest.mark.parametrize("scorer", ["match", "pattern"])
@pytest.mark.parametrize(("file", "n"), [(EVAL, 12), (JSON, 2)], ids=["eval", "json"])
def test_the_accuracy_is_the_one_that_inspect_reports(file: Path, n: int, scorer: str) -> None:
    done = read(file, choices=Choices(metric=scorer))
    if file == EVAL:
        with opened(file) as archive:
            header = json.loads(archive.read("header.json"))
    else:
        header = json.loads(file.read_text())
    (there,) = [s for s in header["results"]["scores"] if s["name"] == scorer]
    (reported,) = done.imported.reported
    assert reported.there == there["metrics"]["accuracy"]["value"]
    assert reported.agrees
    counts = done.pool.counts()
    assert counts.n_samples.tolist() == [4] * n
    assert counts.n_correct.sum() / (4 * n) == pytest.approx(reported.there)


def test_every_epoch_is_a_sample_with_its_tokens() -> None:
    pool = read(EVAL).pool
    rows = pool.table.to_pylist()
    for row in rows:
        assert row["n_prompt_tokens"] == 11
        assert row["n_generated_tokens"] == len(row["response"].split())
        assert row["finish_reason"] == ("length" if row["response"].endswith("then") else "stop")
    assert {row["finish_reason"] for row in rows} == {"length", "stop"}
    assert pool.metadata["model"] == "openai/stub-1"
    assert pool.metadata["complete"] is True


def test_scorers_are_chosen() -> None:
    with pytest.raises(InputError, match="several scorers") as caught:
        read(EVAL, choices=Choices())
    assert "match, pattern" in str(caught.value)
    with pytest.raises(InputError, match="did you mean match"):
        read(EVAL, choices=Choices(metric="mach"))
    with pytest.raises(InputError, match="--filter says nothing"):
        read(EVAL, choices=Choices(filter="none"))


@pytest.mark.parametrize("value", ["P", 0.5, [1, 0], {"a": 1}, "maybe"])
def test_scores_in_between_are_refused(tmp_path: Path, value: object) -> None:
    def change(log: dict[str, Any]) -> None:
        log["samples"][3]["scores"]["match"]["value"] = value

    with pytest.raises(InputError, match="neither right nor wrong") as caught:
        read(rewritten(tmp_path, change))
    assert "sample 4" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "right"),
    [("C", True), ("I", False), ("N", False), (1, True), (0.0, False), (True, True), ("yes", True),
     ("0", False)],
)  # fmt: skip
def test_scores_as_inspect_means_them(tmp_path: Path, value: object, right: bool) -> None:
    def change(log: dict[str, Any]) -> None:
        for sample in log["samples"]:
            sample["scores"]["match"]["value"] = value

    done = read(rewritten(tmp_path, change))
    assert done.pool.counts().n_correct.sum() == 8 * right
    assert not done.imported.reported[0].agrees


def test_errors_and_missing_scores_are_counted(tmp_path: Path) -> None:
    def change(log: dict[str, Any]) -> None:
        log["samples"][0].update(error={"message": "boom"}, scores=None)
        log["samples"][1]["scores"]["match"]["value"] = float("nan")
        log["status"] = "error"

    done = read(rewritten(tmp_path, change))
    assert len(done.pool) == 6
    assert dict(done.imported.left_out) == {
        "samples that ended in an error": 1,
        "samples without a score": 1,
    }
    assert done.pool.metadata["complete"] is False
    assert any("ended as error" in note for note in done.imported.notes)


def test_samples_of_several_calls_have_no_prompt_of_one(tmp_path: Path) -> None:
    def change(log: dict[str, Any]) -> None:
        usage = log["samples"][0]["model_usage"]["openai/stub-1"]
        usage.update(input_tokens=40, output_tokens=90, total_tokens=130)

    done = read(rewritten(tmp_path, change))
    first = done.pool.table.to_pylist()[0]
    assert first["n_generated_tokens"] == 90 and first["n_prompt_tokens"] is None
    assert any("several calls" in note for note in done.imported.notes)


def test_cached_prompt_tokens_are_prompt_tokens(tmp_path: Path) -> None:
    def change(log: dict[str, Any]) -> None:
        for sample in log["samples"]:
            for usage in (sample["model_usage"]["openai/stub-1"], sample["output"]["usage"]):
                usage.update(input_tokens=1, input_tokens_cache_read=10)

    done = read(rewritten(tmp_path, change))
    assert set(done.pool.table["n_prompt_tokens"].to_pylist()) == {11}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda log: log["eval"].update(task="other"), "of different tasks"),
        (lambda log: log["eval"].update(model="other"), "of different models"),
    ],
)
def test_logs_do_not_mix(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        read(JSON, rewritten(tmp_path, change))


def test_one_evaluation_in_two_files_is_refused(tmp_path: Path) -> None:
    again = rewritten(tmp_path, lambda log: log.update(version=3))
    with pytest.raises(InputError, match="a sample stands twice"):
        read(JSON, again)
    more = rewritten(tmp_path, lambda log: log["eval"].update(eval_id="another"))
    assert read(JSON, more).pool.counts().n_samples.tolist() == [8, 8]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda log: log.pop("eval"), "not a log of inspect"),
        (lambda log: log.update(samples=None), "holds no samples"),
        (lambda log: [s.update(scores=None) for s in log["samples"]], "not scored"),
    ],
)
def test_what_is_no_scored_log_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        read(rewritten(tmp_path, change), choices=Choices())


def test_archives_that_are_damaged_unfinished_or_none(tmp_path: Path) -> None:
    path = tmp_path / "log.eval"
    path.write_bytes(EVAL.read_bytes()[:5000])
    with pytest.raises(InputError, match="damaged or not whole"):
        read(path)
    content = bytearray(EVAL.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged or not whole") as caught:
        read(path)
    assert "samples/" in str(caught.value)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("_journal/start.json", "{}")
    with pytest.raises(InputError, match="has not ended"):
        read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(InputError, match="not a log of inspect"):
        read(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_other_compressions_are_read(tmp_path: Path, method: int) -> None:
    path = tmp_path / "log.eval"
    with opened(EVAL) as archive, zipfile.ZipFile(path, "w", method) as copy:
        for name in archive.names:
            copy.writestr(name, archive.read(name))
    assert read(path).pool.table.equals(read(EVAL).pool.table)
