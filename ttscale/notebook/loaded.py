"""A run's folder or a pool as pandas frames, and as figures that show themselves.

pandas and matplotlib are imported when a frame or a figure is asked for.
"""

from __future__ import annotations

import html
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from ttscale.errors import InputError
from ttscale.record.pool import Pool, read_pool
from ttscale.record.samples import imported_from
from ttscale.text import visible

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from ttscale.laws.study import Study

MOST_ROWS = 8
"""Numbers of samples in the table that a notebook shows of a run."""


@dataclass(frozen=True)
class Loaded:
    """A run's folder, or a pool, as frames and figures.

    Attributes
    ----------
    source : the path.
    """

    source: FilePath

    @cached_property
    def _pool(self) -> Pool:
        return read_pool(self.source)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What is known about how the samples were made: model, benchmark, simulated, imported."""
        return self._pool.metadata

    @cached_property
    def pool(self) -> pd.DataFrame:
        """One row for each sampled answer; columns as in `ttscale.record.pool`."""
        return self._pool.table.to_pandas()

    @cached_property
    def answers(self) -> pd.DataFrame:
        """One row for each strategy and problem: the answer chosen, and whether it was right."""
        return self._table("answers.parquet")

    @cached_property
    def ledger(self) -> pd.DataFrame:
        """One row for each sequence generated or scored, with its tokens."""
        return self._table("ledger.parquet")

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The run's summary.json."""
        found: dict[str, Any] = json.loads(self._file("summary.json").read_text(encoding="utf-8"))
        return found

    def curves(self, sample_set: str | None = None, *, level: float = 0.95) -> pd.DataFrame:
        """Accuracy of k samples by every selector, with intervals over problems.

        Columns selector, k, accuracy, low, high. Raises InputError where several sample sets could
        be meant and for the ends of a search.
        """
        import numpy as np
        import pandas as pd

        from ttscale.laws.sampled import choose_samples, sampled_curves
        from ttscale.record.samples import read_samples
        from ttscale.stats import mean_interval

        samples = choose_samples(read_samples(self.source), sample_set)
        curve_rng, interval_rng = np.random.default_rng(0).spawn(2)
        table, _ = sampled_curves(samples, None, curve_rng)
        parts = []
        for name, matrix in table.matrices.items():
            seen = mean_interval(matrix, interval_rng, level=level)
            columns = {"accuracy": seen.estimate, "low": seen.low, "high": seen.high}
            parts.append(pd.DataFrame({"selector": name, "k": table.ks, **columns}))
        return pd.concat(parts, ignore_index=True)

    def fit(self, sample_set: str | None = None, **options: Any) -> Study:
        """Laws of every selector; `options` are those of `ttscale.laws.study.study`."""
        from ttscale.laws.sampled import choose_samples
        from ttscale.laws.study import study
        from ttscale.record.samples import read_samples

        return study(choose_samples(read_samples(self.source), sample_set), **options)

    def figure(self, sample_set: str | None = None, **options: Any) -> Picture:
        """Curves with their laws and saturation marks; `options` are those of `fit`."""
        from matplotlib import rc_context

        from ttscale.report.figures import STYLE, curve_figure

        with rc_context(STYLE):
            figure = curve_figure(self.fit(sample_set, **options))
        if imported_from(self.metadata):
            figure.suptitle(f"{figure.get_suptitle()} (imported)")
        return Picture(figure, STYLE)

    def _file(self, name: str) -> FilePath:
        path = self.source / name
        if not path.is_file():
            raise InputError(
                f"there is no {name} here: a pool has samples, a finished run has more",
                where=str(self.source),
                hint="ttscale.load(RUN) of a run's folder",
            )
        return path

    def _table(self, name: str) -> pd.DataFrame:
        import pyarrow.parquet as pq

        return pq.read_table(self._file(name)).to_pandas()

    def _repr_html_(self) -> str:
        """What it is, and its curves at powers of two."""
        about = [str(self.metadata[k]) for k in ("model", "benchmark") if self.metadata.get(k)]
        counts = self._pool.counts()
        title = f"{' on '.join(about) or self.source}: {len(counts.problem_ids):,} problems, "
        title += f"{len(self._pool):,} samples"
        heads = [title, *_labels(self.metadata)]
        parts = [f"<p><b>{html.escape(visible(head))}</b></p>" for head in heads]
        try:
            parts.append(_as_html(self.curves()))
        except InputError as error:
            parts.append(f"<p>{html.escape(error.what)}</p>")
        return "\n".join(parts)


@dataclass(frozen=True)
class Picture:
    """A matplotlib figure that shows itself in a notebook.

    Attributes
    ----------
    figure : to change before it is shown or saved.
    style : matplotlib's settings that it is drawn with.
    """

    figure: Figure
    style: Mapping[str, Any] = field(repr=False)

    def save(self, path: str | FilePath) -> None:
        """Write a .png or .svg file, or whatever else matplotlib writes."""
        from matplotlib import rc_context

        with rc_context(dict(self.style)):
            self.figure.savefig(path, dpi=160)

    def _repr_svg_(self) -> str:
        from matplotlib import rc_context

        text = io.StringIO()
        with rc_context(dict(self.style)):
            self.figure.savefig(text, format="svg", metadata={"Date": None})
        return text.getvalue()


def load(source: str | FilePath) -> Loaded:
    """A run's folder or a pool (Parquet, JSONL) to look at.

    Raises InputError for what is neither.
    """
    loaded = Loaded(FilePath(source))
    loaded._pool  # noqa: B018  # what cannot be read is said now
    return loaded


def _labels(metadata: Mapping[str, Any]) -> list[str]:
    labels = []
    if metadata.get("simulated"):
        labels.append("SIMULATED: these samples come from a simulation.")
    if source := imported_from(metadata):
        labels.append(f"IMPORTED: these samples were written by {source}.")
    if metadata.get("complete") is False:
        labels.append("UNFINISHED: not every strategy has met every problem.")
    return labels


def _as_html(curves: pd.DataFrame) -> str:
    """A row for each power of two, a column for each selector."""
    largest = int(curves["k"].max())
    ks = sorted({2**i for i in range(largest.bit_length())} | {largest})[-MOST_ROWS:]
    shown = curves[curves["k"].isin(ks)].copy()
    shown["text"] = [
        f"{row.accuracy:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in shown.itertuples()
    ]
    wide = shown.pivot(index="k", columns="selector", values="text")
    table: str = wide[list(dict.fromkeys(curves["selector"]))].to_html(border=0)
    return table + "<p>95 % intervals over problems.</p>"
