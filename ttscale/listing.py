"""What configurations and commands can name, with a line about each."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

from ttscale import registry


def _plugins(kind: registry.Kind) -> dict[str, str]:
    return {name: _first_line(registry.load(kind, name)) for name in registry.names(kind)}


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().partition("\n")[0]


def _files(folder: str) -> dict[str, str]:
    """The YAML files of one of the package's configuration folders, with their first line."""
    found = {}
    for file in sorted((files("ttscale") / "configs" / folder).iterdir(), key=lambda f: f.name):
        if file.name.endswith(".yaml"):
            first = file.read_text(encoding="utf-8").partition("\n")[0]
            found[file.name.removesuffix(".yaml")] = first.removeprefix("# ").removeprefix("name: ")
    return found


def _laws() -> dict[str, str]:
    """Laws that `ttscale fit` knows, and the form of each."""
    from ttscale.laws.families import CURVES, MIXING, POOLED, law_names

    families = {**MIXING, **CURVES}
    others = {
        POOLED: "coverage: the weighted median of all laws that the data bear; what auto selects",
        "parscale": "loss of a model with P parallel streams: ttscale.laws.fit_parscale alone",
    }
    return {name: families[name].form if name in families else others[name] for name in law_names()}


KINDS: dict[str, Callable[[], dict[str, str]]] = {
    "strategies": lambda: _plugins("strategies"),
    "verifiers": lambda: _plugins("verifiers"),
    "benchmarks": lambda: _files("benchmarks"),
    "models": lambda: _files("models"),
    "hardware": lambda: _files("hardware"),
    "laws": _laws,
}


def listing(kind: str) -> dict[str, str]:
    """Names and one line about each, of one of `KINDS`."""
    return KINDS[kind]()
