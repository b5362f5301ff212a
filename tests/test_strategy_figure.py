"""The figure of a run's strategies: which nothing cheaper matches, and what stands in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ttscale.errors import InputError
from ttscale.report.strategy_figure import (
    draw_strategies,
    strategies_figure,
    strategy_points,
    unmatched,
)

pytest.importorskip("matplotlib")


def entry(label: str, accuracy: float | None, tokens: float, **more: Any) -> dict[str, Any]:
    low = high = None
    if accuracy is not None:
        low, high = max(accuracy - 0.1, 0), min(accuracy + 0.1, 1)
    return {
        "label": label,
        "oracle": False,
        "accuracy": accuracy,
        "low": low,
        "high": high,
        "generated_tokens_per_problem": tokens,
        "flops_per_problem": {"generate": 2e9 * tokens, "score": 1e9},
        "machine_seconds_per_problem": tokens / 100,
        **more,
    }


def summary(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    about = {"model": "m", "benchmark": "b", "n_problems": 8, "simulated": False}
    return {**about, "strategies": list(entries), **more}


RUN = summary(
    entry("dear", 0.4, 800),
    entry("single", 0.2, 100),
    entry("equal but dearer", 0.2, 150),
    entry("best", 0.5, 400),
    entry("same cost, worse", 0.3, 400),
    entry("best by the reference", 0.9, 50, oracle=True),
)


def test_named_are_those_that_nothing_as_cheap_matches() -> None:
    points = [point for point in strategy_points(RUN) if not point.oracle]
    for cost in ("tokens", "flops", "seconds"):
        assert [points[i].label for i in unmatched(points, cost)] == ["single", "best"]


def test_a_point_has_its_costs_and_its_interval() -> None:
    point = strategy_points(RUN)[1]
    assert (point.accuracy, point.low, point.high) == pytest.approx((0.2, 0.1, 0.3))
    assert (point.tokens, point.flops, point.seconds) == pytest.approx((100, 2.01e11, 1.0))


def test_every_strategy_is_a_point_of_every_panel_and_the_oracle_is_on_no_frontier() -> None:
    panels = strategies_figure(RUN).axes
    assert len(panels) == 3
    for panel in panels:
        assert len(panel.containers) == len(RUN["strategies"])
        assert "1  single\n2  best" in panel.get_xlabel()
        assert "reference" not in panel.get_xlabel()


def test_a_cost_that_nobody_knows_has_no_panel_and_one_that_met_no_problem_no_point() -> None:
    unknown = {"flops_per_problem": None, "machine_seconds_per_problem": None}
    run = summary(entry("a", 0.2, 10, **unknown), entry("b", None, 0, **unknown))
    (panel,) = strategies_figure(run).axes
    assert len(panel.containers) == 1


def test_a_simulated_run_is_labelled() -> None:
    figure = strategies_figure(summary(entry("a", 0.2, 10), simulated=True))
    assert "(SIMULATED)" in figure.get_suptitle()


def test_the_file_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        draw_strategies(RUN, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    with pytest.raises(InputError, match="PNG or an SVG"):
        draw_strategies(RUN, tmp_path / "one.pdf")
