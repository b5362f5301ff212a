"""The models and machines that come with ttscale, found by name, and files of the user's own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ttscale.cost.architecture import Architecture
from ttscale.errors import InputError, closest


def _yaml(text: str, where: str) -> Any:
    import yaml

    try:
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise InputError("cannot read this YAML", where=where, got=str(error)) from error


@cache
def _architectures() -> dict[str, Mapping[str, Any]]:
    """Configs by model name, from `configs/architectures/*.yaml`: one file for each family."""
    found: dict[str, Mapping[str, Any]] = {}
    for entry in (files("ttscale") / "configs" / "architectures").iterdir():
        if entry.name.endswith(".yaml"):
            found |= _yaml(entry.read_text(encoding="utf-8"), entry.name)
    return found


def architecture_names() -> list[str]:
    """The models known by name."""
    return sorted(_architectures())


def load_architecture(source: Mapping[str, Any] | str | Path) -> Architecture:
    """See `Architecture.from_config`."""
    from ttscale.cost.layers import read_config

    if isinstance(source, Mapping):
        name = str(source.get("_name_or_path") or source.get("model_type") or "model")
        return read_config(source, name=name, where="config")
    path = Path(source).expanduser()
    if (path / "config.json").is_file():
        path = path / "config.json"
    if path.is_file():
        name = path.parent.resolve().name if path.name == "config.json" else path.stem
        return read_config(_read_mapping(path), name=name, where=str(path))
    known = {name.lower(): name for name in _architectures()}
    wanted = str(source).rsplit("/", 1)[-1].lower()
    if wanted not in known:
        if path.is_dir():
            raise InputError("the folder holds no config.json", where=str(path))
        raise InputError(
            f"no model or config file is called {str(source)!r}",
            hint=f"{closest(wanted, known.values())} Or the path of a config.json",
        )
    name = known[wanted]
    return read_config(_architectures()[name], name=name, where=f"model {name}")


def _read_mapping(path: Path) -> Mapping[str, Any]:
    """The contents of a JSON or YAML file that holds one mapping."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("cannot read this file", where=str(path), got=str(error)) from error
    if path.suffix in {".yaml", ".yml"}:
        content = _yaml(text, str(path))
    else:
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError("this is not JSON", where=str(path), got=str(error)) from error
    if not isinstance(content, Mapping):
        raise InputError("the file must hold one mapping", where=str(path), got=content)
    return content


def user_hardware_folder() -> Path:
    """Where `ttscale hardware probe` writes: `$XDG_CACHE_HOME/ttscale/hardware`."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache_home) / "ttscale" / "hardware"


def hardware_files() -> dict[str, Any]:
    """Hardware sheets by name: those that come with ttscale, then the user's own over them."""
    shipped = (files("ttscale") / "configs" / "hardware").iterdir()
    own = user_hardware_folder()
    entries = [*shipped, *(own.iterdir() if own.is_dir() else ())]
    return {
        entry.name.removesuffix(".yaml"): entry for entry in entries if entry.name.endswith(".yaml")
    }


def hardware_names() -> list[str]:
    """The machines known by name."""
    return sorted(hardware_files())


def read_hardware(source: str | Path) -> tuple[str, Mapping[str, Any], str]:
    """Name, contents and place of a hardware sheet, by name or path.

    Raises
    ------
    InputError : no such sheet (with those there are), or one that cannot be read.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return path.stem, _read_mapping(path), str(path)
    sheets = hardware_files()
    known = {name.lower(): name for name in sheets}
    wanted = str(source).lower()
    if wanted not in known:
        raise InputError(
            f"no hardware is called {str(source)!r}",
            hint=f"one of {', '.join(sorted(sheets))}; the path of a sheet; or measure this "
            "machine with `ttscale hardware probe`",
        )
    name = known[wanted]
    content = _yaml(sheets[name].read_text(encoding="utf-8"), sheets[name].name)
    if not isinstance(content, Mapping):
        raise InputError("the sheet must hold one mapping", where=sheets[name].name, got=content)
    return name, content, sheets[name].name
