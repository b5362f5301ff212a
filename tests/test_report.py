"""What a report and a viewer hold: the answer, figures with their data, and texts as texts."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
from base64 import b64encode
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.reported import CONFIG, HOSTILE, QUICK, clean_run, hostile_run, make_run, report_of
from ttscale.errors import InputError
from ttscale.plan import plan
from ttscale.plan.sources import read_sources
from ttscale.record.pool import make_pool, read_pool
from ttscale.record.samples import SampleSet
from ttscale.record.trees import read_trees
from ttscale.report.command import make_report, make_view
from ttscale.report.drawing import Drawing
from ttscale.report.measured import measure
from ttscale.report.provenance import warnings
from ttscale.report.reading import Material, read_material
from ttscale.report.run_figures import token_rows
from ttscale.report.traces import BY_THEMSELVES, Room, traces
from ttscale.text import ACTIVE, shown, visible

pytest.importorskip("matplotlib")


class Page(HTMLParser):
    """Elements of a page: scripts by id, addresses, figures' data, and all text outside scripts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.data: dict[str, Any] = {}
        self.scripts: list[str] = []
        self.policy = ""
        self.csv: dict[str, list[dict[str, str]]] = {}
        self.text = ""
        self._inside: str | None = None
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.addresses += [about[name] for name in ("src", "href", "xlink:href") if name in about]
        self.handlers += [name for name in about if name.startswith("on")]
        if tag == "script":
            self._inside = about.get("id", "") if "type" in about else "code"
        elif tag == "style":
            self._inside = "style"
        elif about.get("http-equiv") == "Content-Security-Policy":
            self.policy = about["content"]
        elif tag == "a" and about.get("download", "").endswith(".csv"):
            rows = csv.DictReader(io.StringIO(unquote(about["href"].partition(",")[2])))
            self.csv[about["download"].removesuffix(".csv")] = list(rows)

    def handle_endtag(self, tag: str) -> None:
        if tag in {"script", "style"}:
            self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside == "code":
            self.scripts.append(data)
        elif self._inside is None:
            self.text += data
        elif self._inside != "style":
            self.data[self._inside] = json.loads(data)


@pytest.fixture(scope="module")
def clean() -> Path:
    return clean_run()


@pytest.fixture(scope="module")
def page(clean: Path) -> Page:
    return Page(report_of(clean))


def test_the_answer_comes_first_with_its_cost_and_simulations_are_called_so(page: Page) -> None:
    text = " ".join(page.text.split())
    parts = ("SIMULATED", "What to run", "Where it saturates", "Accuracy, and what it costs",
             "Where it comes from")  # fmt: skip
    where = [text.index(part) for part in parts]
    assert where == sorted(where)
    assert re.search(r"(Draw \d+ samples? a problem|Run beam_search)", text)


def test_the_page_stands_alone(page: Page) -> None:
    assert len(page.source) < 8e6
    assert page.addresses and all(a.startswith(("#", "data:")) for a in page.addresses)
    assert not {"link", "iframe", "object", "embed", "form"} & set(page.tags)
    (script,) = page.scripts
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.policy and "default-src 'none'" in page.policy
    assert "innerHTML" not in script and "eval(" not in script


def test_every_figure_has_its_data_and_the_data_are_those_of_the_run(
    page: Page, clean: Path
) -> None:
    figures = page.data["figures"]
    assert set(figures) == set(page.csv) and page.tags.count("svg") == len(figures)
    groups = ("accuracy-", "frontier-", "law-", "strategies-", "verifiers-", "problems-", "tokens-")
    assert all(any(name.startswith(group) for name in figures) for group in groups)
    summary = json.loads((clean / "summary.json").read_text())
    seen = {
        int(row["n"]): float(row["accuracy"])
        for row in page.csv["accuracy-tokens"]
        if row["selector"] == "coverage"
    }
    for point in summary["samples"][0]["pass_at_k"][1:]:
        assert seen[point["k"]] == pytest.approx(point["estimate"])
    for row in page.csv["strategies-0"]:
        (entry,) = (s for s in summary["strategies"] if s["label"] == row["strategy"])
        assert float(row["accuracy"]) == pytest.approx(entry["accuracy"])


def test_spots_lie_within_their_figure_and_cells_within_their_box(page: Page) -> None:
    for name, said in page.data["figures"].items():
        svg = page.source[page.source.index(f'<figure id="{name}"') :]
        box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
        assert box is not None
        width, height = map(float, box.groups())
        assert said["spots"] or said["grid"], name
        assert all(0 <= x <= width and 0 <= y <= height for x, y, *_ in said["spots"]), name
        if said["grid"]:
            left, top, right, bottom = said["grid"]["box"]
            assert 0 < left < right <= width and 0 < top < bottom < height
            assert len(said["grid"]["values"]) == len(said["grid"]["rows"])
            assert len(said["grid"]["values"][0]) == len(said["grid"]["columns"]) == 12


def test_figures_are_files_too(page: Page, clean: Path) -> None:
    names = {path.stem for path in (clean / "figures").iterdir()}
    assert names == set(page.data["figures"])
    svg = (clean / "figures" / "accuracy-tokens.svg").read_text()
    assert svg.startswith("<svg") and "var(" not in svg and "#0072b2" in svg


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("problem_id,n_samples,n_correct\na,4,2\nb,4,1\nc,4,0\n")
    first, again = (
        make_report([tmp_path / "a.csv"], tmp_path / f"{i}.html", QUICK, lambda _: None)
        for i in range(2)
    )
    assert first.read_bytes() == again.read_bytes()


def test_measured_points_cost_what_a_plan_says(clean: Path) -> None:
    found = measure(read_sources([clean]), None, np.random.default_rng(0))
    told = plan([clean], "8 samples", difficulty="none").to_json()
    points = found.points["samples"]
    candidates: Any = told["candidates"]
    for each in candidates:
        for point in each["curve"]:
            (at,) = (
                i for i in range(len(points))
                if points.of(i).selector == each["selector"] and points.n[i] == point["n"]
            )  # fmt: skip
            assert points.cost[at] == pytest.approx(point["cost"])
            assert points.accuracy[at] == pytest.approx(point["accuracy"])
    assert set(found.missing) == {"flops", "bytes", "seconds", "usd"}
    assert found.points["tokens"].accuracy[found.enough] > (
        found.points["tokens"].accuracy[found.choice.point] - 0.01
    )


def test_trees_hold_every_token_that_was_generated(clean: Path) -> None:
    material = read_material(clean)
    ledger = pq.read_table(clean / "ledger.parquet").to_pylist()
    assert {arm.partition("(")[0] for arm, _ in material.trees} == {"beam_search"}
    assert len(material.trees) == 12
    for (arm, problem), nodes in material.trees.items():
        made = sum(
            row["n_generated_tokens"]
            for row in ledger
            if (row["arm"], row["problem_id"]) == (arm, problem)
        )
        assert made == sum(node.n_tokens for node in nodes if node.parent is not None)
        assert nodes[0].parent is None and all(n.parent < i for i, n in enumerate(nodes) if i)  # type: ignore[operator]
        ends = [node for node in nodes if node.chosen and node.finish in {"stop", "length"}]
        assert len(ends) <= 1
        answers = [
            row for row in pq.read_table(clean / "answers.parquet").to_pylist()
            if (row["arm"], row["problem_id"]) == (arm, problem)
        ]  # fmt: skip
        assert [node.answer for node in ends] == [row["answer"] for row in answers if ends]
    rows = {row["arm"].partition("(")[0]: row for row in token_rows(
        pq.read_table(clean / "ledger.parquet"), material.trees)}  # fmt: skip
    assert rows["beam_search"]["pruned"] > 0 and rows["best_of_n"]["pruned"] == 0


def test_a_resumed_run_leaves_the_same_trees(clean: Path, tmp_path: Path) -> None:
    again = tmp_path / "results" / "small"
    shutil.copytree(clean, again)
    before = (again / "trees.parquet").read_bytes()
    for name in ("summary.json", "trees.parquet"):
        (again / name).unlink()
    assert make_run(tmp_path) == again
    assert (again / "trees.parquet").read_bytes() == before
    assert read_trees(again / "trees.parquet") and not read_trees(again / "none.parquet")


@pytest.fixture(scope="module")
def hostile() -> Path:
    return hostile_run()


def test_hostile_texts_change_nothing_but_text(hostile: Path, page: Page) -> None:
    for path in (report_of(hostile), make_view(hostile, None)):
        made = Page(path)
        assert not made.handlers and len(made.scripts) == 1
        assert made.scripts == page.scripts
        assert all(a.startswith(("#", "data:")) for a in made.addresses)
        assert not {"img", "b"} & set(made.tags)
        assert not ACTIVE.search(made.source)
        details = [value for name, value in made.data.items() if re.match(r"trace-\d+-\d+", name)]
        rows = [row for each in details for one in each["sets"] for row in one["rows"]]
        kept = {row["response"][:4000] for row in read_pool(hostile).table.to_pylist()}
        assert {row[1][:4000] for row in rows} == kept


def test_a_long_text_is_cut_in_a_report_and_whole_in_a_view(hostile: Path) -> None:
    material = read_material(hostile)
    longest = {
        room: max(len(row[1]) for each in traces(material, room).details
                  for one in each["sets"] for row in one["rows"])
        for room in (Room(10_000_000, 4_000), BY_THEMSELVES)
    }  # fmt: skip
    assert longest[Room(10_000_000, 4_000)] == 4_000 and longest[BY_THEMSELVES] > 1_000_000


def test_where_room_is_short_right_and_wrong_samples_take_turns() -> None:
    rows = [
        {"problem_id": p, "sample_index": i, "answer": "1", "answer_class": 0, "correct": i >= 6,
         "response": "x" * 100, "finish_reason": "stop"}
        for p in "ab" for i in range(8)
    ]  # fmt: skip
    pool = make_pool(rows)
    material = Material(Path("pool"), (SampleSet("pool", "", pool.counts(), pool),))
    found = traces(material, Room(2 * 4 * 190, None))
    for entry, details in zip(found.index, found.details, strict=True):
        assert (entry["n"], entry["right"]) == (8, 2)
        assert [row[0] for row in details["sets"][0]["rows"]] == [0, 1, 6, 7]
        assert details["sets"][0]["answers"] == [["1", 8, False, 0]]
    assert "8 of 16 samples are here" in found.note and "in turn" in found.note
    assert not traces(material, Room(10**6, None)).note
    with pytest.raises(InputError, match="no such problem"):
        traces(material, BY_THEMSELVES, ["c"])


def test_an_unfinished_run_is_reported_as_far_as_it_goes(clean: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    for name in ("config.yaml", "provenance.json"):
        shutil.copy(clean / name, begun / name)
    text = Page(make_report([begun], None, QUICK, lambda _: None)).text
    assert "There is nothing to choose between yet" in text and "no samples" in text
    stopped = tmp_path / "stopped"
    shutil.copytree(clean, stopped)
    summary = json.loads((stopped / "summary.json").read_text())
    (stopped / "summary.json").write_text(json.dumps({**summary, "complete": False}))
    material = read_material(stopped)
    assert material.missing == ("the run has not ended: not every strategy has met every problem",)
    assert material.sets and material.missing[0] in warnings([material], None)


def test_runs_that_do_not_compare_are_reported_side_by_side(tmp_path: Path) -> None:
    rows = [
        {"problem_id": p, "sample_index": i, "answer": "1", "answer_class": i % 2,
         "correct": i % 2 == 0, "n_prompt_tokens": 9, "n_generated_tokens": 9, "response": "1"}
        for p in "abc" for i in range(3)
    ]  # fmt: skip
    for name, simulated in (("one", True), ("two", False)):
        metadata = {"benchmark": name, "model": "m", "simulated": simulated}
        make_pool(rows, metadata).write(tmp_path / f"{name}.parquet")
    paths = [tmp_path / "one.parquet", tmp_path / "two.parquet"]
    made = Page(make_report(paths, tmp_path / "both.html", QUICK, lambda _: None))
    assert "nothing is recommended: these sources are of different benchmarks" in made.text
    assert "the other runs are measured, and the two do not compare" in " ".join(made.text.split())
    assert {"law-coverage-0", "law-coverage-1", "problems-0", "problems-1"} <= set(made.csv)
    assert len(made.data["trace-runs"]) == 2


def test_bad_input_is_told(clean: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    counts = tmp_path / "counts.csv"
    counts.write_text("problem_id,n_samples,n_correct\na,4,2\nb,4,1\n")
    for paths, out, words in (
        ([tmp_path / "empty"], None, "holds no run"),
        ([tmp_path / "nowhere"], None, "no such file"),
        ([clean, clean], None, "given twice"),
        ([clean], tmp_path / "x.pdf", "HTML file"),
        ([clean], tmp_path / "no" / "x.html", "HTML file"),
    ):
        with pytest.raises(InputError, match=words):
            make_report(paths, out, QUICK, lambda _: None)
    with pytest.raises(InputError, match="no samples to look at"):
        make_view(counts, None)
    made = Page(make_report([counts], None, QUICK, lambda _: None))
    assert made.source and "law-coverage-0" in made.csv
    assert (tmp_path / "counts.report.html").is_file()


def test_what_would_act_is_written_out() -> None:
    assert visible("a\x1b[31m\x00\u202e\u2028\ufeffb\n\t") == (
        r"a\x1b[31m\x00\u202e\u2028\ufeffb" + "\n\t"
    )
    assert shown({"a\x07": ["\x9b", 1, None]}) == {r"a\x07": [r"\x9b", 1, None]}
    for text in HOSTILE:
        assert not ACTIVE.search(visible(text))


def test_a_spreadsheet_computes_nothing_from_the_data() -> None:
    rows = [{"=a": "=cmd()", "b": -1.5}, {"=a": "+1", "b": None}]
    text = Drawing("n", "t", "c", "", rows).csv()
    assert text.splitlines()[1:] == ["'=cmd(),-1.5", "'+1,"]


def test_a_terminal_shows_names_and_errors_as_they_are(clean: Path) -> None:
    from ttscale.run.tables import as_text

    summary = json.loads((clean / "summary.json").read_text())
    summary["strategies"][0] |= {"label": "[red]vote[/red]", "errors": ["boom \x1b[2J [bold]"]}
    text = as_text(summary)
    assert "[red]vote[/red]" in text and r"boom \x1b[2J [bold]" in text
    assert not ACTIVE.search(text)


def test_the_configuration_is_the_one_in_the_page(page: Page) -> None:
    for entry in CONFIG["strategies"]:
        assert (entry if isinstance(entry, str) else entry["name"]) in page.text
