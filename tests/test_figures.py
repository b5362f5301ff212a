"""Figures of a study: what stands in them, and the files they are."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ttscale.errors import InputError
from ttscale.laws.study import Study, study
from ttscale.record.pool import Counts, make_pool
from ttscale.record.samples import SampleSet
from ttscale.report.figures import check_format, curve_figure, draw

pytest.importorskip("matplotlib")


def of_counts(n_correct: list[int], n: int = 16, **options: object) -> Study:
    ids = tuple(f"p{i}" for i in range(len(n_correct)))
    n_samples, zeros = np.full(len(ids), n), np.zeros(len(ids), dtype=np.int64)
    counts = Counts(ids, n_samples, np.array(n_correct), zeros)
    arguments = {"law": "beta", "n_bootstrap": 20, **options}
    return study(SampleSet("counts.csv", "", counts), **arguments)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def held_out() -> Study:
    return of_counts([0, 1, 2, 4, 9, 16, 0, 3, 5, 1], fit_up_to=4)


@pytest.fixture(scope="module")
def of_pool() -> Study:
    rng = np.random.default_rng(0)
    rows = [
        {
            "problem_id": f"p{i}",
            "answer_class": int(rng.random() > p),
            "correct": False,
            "score.judge": float(rng.random()),
        }
        for i, p in enumerate(rng.beta(1, 1, 12))
        for _ in range(8)
    ]
    for row in rows:
        row["correct"] = row["answer_class"] == 0
        row["score.exact"] = float(row["correct"])
    pool = make_pool(rows, {"model": "m", "benchmark": "b", "simulated": True})
    samples = SampleSet("pool", "", pool.counts(), pool, {**pool.metadata, "oracles": ["exact"]})
    return study(samples, law="beta", n_bootstrap=20)


def test_points_held_out_have_another_mark_and_lie_where_they_were_observed(
    held_out: Study,
) -> None:
    (panel,) = curve_figure(held_out).axes
    points = {
        bars.lines[0].get_markerfacecolor(): bars.lines[0].get_xydata() for bars in panel.containers
    }
    filled, hollow = points["#0072B2"], points["white"]
    assert filled[:, 0].tolist() == [1, 2, 4]
    assert hollow[:, 0].tolist() == [8, 16]
    at = np.searchsorted(held_out.curves.ks, [8, 16])
    assert hollow[:, 1].tolist() == held_out.observed["coverage"].estimate[at].tolist()


def test_the_line_is_the_law_on_a_logarithmic_axis(held_out: Study) -> None:
    (panel,) = curve_figure(held_out).axes
    assert panel.get_xscale() == "log"
    solid, dashed = (
        line for line in panel.lines if line.get_marker() == "None" and len(line.get_xdata()) > 2
    )
    assert solid.get_linestyle() == "-" and solid.get_xdata()[-1] == 4
    ks, values = np.asarray(dashed.get_xydata()).T
    assert ks[0] == 4 and ks[-1] == 400
    assert values == pytest.approx(held_out.fits["coverage"].predict(ks).value)


def test_saturation_is_marked_at_its_point(held_out: Study) -> None:
    (panel,) = curve_figure(held_out).axes
    mark = next(line for line in panel.lines if line.get_marker() == "D")
    assert list(mark.get_xdata()) == [held_out.records["coverage"]["saturation"]["n"]]


def test_other_selectors_share_a_second_panel_without_oracles_and_simulations_are_called_so(
    of_pool: Study,
) -> None:
    figure = curve_figure(of_pool)
    assert len(figure.axes) == 2
    labels = {text.get_text() for text in figure.axes[1].texts}
    assert {"majority", "best_of:\njudge"} <= labels
    assert not any("exact" in label for label in labels)
    assert figure.get_suptitle() == "m on b: 12 problems × 8 samples (SIMULATED)"


def test_names_at_the_ends_of_lines_do_not_overlap(of_pool: Study) -> None:
    figure = curve_figure(of_pool)
    figure.canvas.draw()
    names = ("majority", "best_of", "weighted")
    boxes = sorted(
        (text.get_window_extent() for text in figure.axes[1].texts
         if text.get_text().startswith(names)),
        key=lambda box: box.y0,
    )  # fmt: skip
    assert len(boxes) == 3
    assert all(below.y1 <= above.y0 for below, above in pairwise(boxes))


def test_a_curve_without_a_law_is_drawn_with_the_reason() -> None:
    (panel,) = curve_figure(of_counts([16] * 5)).axes
    assert any("always solved" in text.get_text().replace("\n", " ") for text in panel.texts)
    assert not [line for line in panel.lines if line.get_marker() == "D"]


def test_files_are_png_and_svg_and_repeat_byte_for_byte(held_out: Study, tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg", "c.PNG"):
        draw(held_out, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert ElementTree.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
    assert (tmp_path / "c.PNG").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.svg", "c.PNG"]


def test_without_matplotlib_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ttscale.report.figures.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"ttscale\[plots\]"):
        check_format(tmp_path / "a.png")
