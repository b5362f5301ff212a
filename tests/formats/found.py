"""The committed files that the tools wrote; `make.py` writes them anew."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
(REPEATS,) = (HERE / "lm_eval" / "repeats").glob("*/samples_*.jsonl")
(FIRST,) = (HERE / "lm_eval" / "first").glob("*/samples_*.jsonl")
(SECOND,) = (HERE / "lm_eval" / "second").glob("*/samples_*.jsonl")
(CHOICE,) = (HERE / "lm_eval" / "choice").glob("*/samples_*.jsonl")
(EVAL,) = (HERE / "inspect").glob("*.eval")
(JSON,) = (HERE / "inspect").glob("*.json")
