"""Test-time compute scaling of language models: strategies on vLLM, every token accounted for."""

from importlib import import_module
from typing import TYPE_CHECKING

from ttscale.errors import InputError, TTScaleError
from ttscale.strategy import STEP, Positive, Share, Strategy, Until, Verifier
from ttscale.trace import Answer, Path, Problem
from ttscale.vote import Vote, argmax, plurality

__version__ = "0.1.0"

__all__ = [
    "STEP",
    "Answer",
    "InputError",
    "Path",
    "Positive",
    "Problem",
    "Share",
    "Strategy",
    "TTScaleError",
    "Until",
    "Verifier",
    "Vote",
    "argmax",
    "load",
    "plurality",
    "run",
]

if TYPE_CHECKING:
    from ttscale.notebook import load, run
else:

    def __getattr__(name: str) -> object:
        """`load` and `run`, imported when they are first asked for."""
        if name == "run":
            return import_module("ttscale.run")
        if name == "load":
            return import_module("ttscale.notebook").load
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
