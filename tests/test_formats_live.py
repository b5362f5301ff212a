"""lm-eval and inspect themselves, where they are on PATH, evaluated against a local endpoint.

    pip install lm-eval==0.4.13 inspect-ai==0.3.285 openai requests aiohttp tenacity

in an environment of their own: inspect wants an older fsspec than this project's other packages.
Elsewhere the files that they wrote are committed, and the other tests read those.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.formats import make
from ttscale.formats.imported import Choices
from ttscale.formats.importing import import_files

pytestmark = pytest.mark.slow


@pytest.mark.skipif(not shutil.which("lm_eval"), reason="lm_eval is not on PATH")
def test_what_lm_eval_writes_has_the_accuracy_it_reports(tmp_path: Path) -> None:
    make.lm_eval("sums", tmp_path)
    files = list(tmp_path.glob("*/samples_*.jsonl"))
    done = import_files("lm-eval", files, Choices(filter="strict"))
    assert len(done.pool) == 24 * 4
    (reported,) = done.imported.reported
    assert reported.agrees and 0 < reported.there < 1


@pytest.mark.skipif(not shutil.which("inspect"), reason="inspect is not on PATH")
@pytest.mark.parametrize("kind", ["eval", "json"])
def test_what_inspect_writes_has_the_accuracy_it_reports(tmp_path: Path, kind: str) -> None:
    make.inspect(tmp_path, kind, n=6)
    done = import_files("inspect", list(tmp_path.glob(f"*.{kind}")), Choices(metric="match"))
    assert len(done.pool) == 6 * 4
    (reported,) = done.imported.reported
    assert reported.agrees and 0 < reported.there < 1
