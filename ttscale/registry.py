"""Plug-ins by name: a file's name is the plug-in's name.

A plug-in is found in the project's own folder, among the entry points of installed packages
(groups `ttscale.strategies` and `ttscale.verifiers`), or in a `.py` file whose path is given. Its
dataclass fields are its configuration.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
import typing
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path as FilePath
from types import ModuleType
from typing import Any, Literal

from ttscale.errors import InputError, closest
from ttscale.strategy import Strategy, Verifier

Kind = Literal["strategies", "verifiers"]
Plugin = Strategy | Verifier

_PROTOCOL: dict[Kind, type[Strategy] | type[Verifier]] = {
    "strategies": Strategy,
    "verifiers": Verifier,
}
_SINGULAR: dict[Kind, str] = {"strategies": "strategy", "verifiers": "verifier"}


def names(kind: Kind) -> list[str]:
    """All plug-in names of a kind, sorted."""
    package = importlib.import_module(f"ttscale.{kind}")
    own = [module.name for module in pkgutil.iter_modules(package.__path__)]
    installed = [point.name for point in entry_points(group=f"ttscale.{kind}")]
    return sorted({name for name in own + installed if not name.startswith("_")})


def load(kind: Kind, name: str, *, where: str | None = None, folder: FilePath | None = None) -> Any:
    """The plug-in class of a name, or of a `.py` file (relative paths start at `folder`).

    Raises InputError when there is none, with the closest names.
    """
    if name.endswith(".py"):
        return _only_class(kind, _load_file((folder or FilePath()) / name, where), name)
    for point in entry_points(group=f"ttscale.{kind}"):
        if point.name == name:
            found = point.load()
            return _only_class(kind, found, name) if isinstance(found, ModuleType) else found
    if name not in names(kind):
        raise InputError(
            f"there is no {_SINGULAR[kind]} of this name",
            where=where,
            got=name,
            hint=f"{closest(name, names(kind))} A path to a .py file works too.",
        )
    return _only_class(kind, importlib.import_module(f"ttscale.{kind}.{name}"), name)


def build(
    kind: Kind, name: str, fields: Mapping[str, Any], *, where: str, folder: FilePath | None = None
) -> Any:
    """A plug-in with its fields checked and converted.

    A field that is itself a plug-in is given as a name or as a mapping with a `name`; one that is a
    tuple of them as a list of these.

    Raises InputError naming the field, its value, and what would be right.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    cls = load(kind, name, where=where, folder=folder)
    hints = typing.get_type_hints(cls, include_extras=True)
    known = {field.name for field in dataclasses.fields(cls) if field.init}
    values: dict[str, Any] = {}
    for key, value in fields.items():
        if key not in known:
            valid = ", ".join(sorted(known)) or "none"
            raise InputError(
                f"{name} has no field of this name",
                where=f"{where}.{key}",
                got=value,
                hint=f"{closest(key, known)}. Its fields: {valid}",
            )
        if (inner := _plugin_kind(hints[key])) is not None:
            if typing.get_origin(hints[key]) is tuple:
                listed = value if isinstance(value, list | tuple) else [value]
                values[key] = tuple(
                    _nested(inner, one, f"{where}.{key}.{place}", folder)
                    for place, one in enumerate(listed)
                )
            else:
                values[key] = _nested(inner, value, f"{where}.{key}", folder)
            continue
        adapter: TypeAdapter[Any] = TypeAdapter(
            hints[key], config=ConfigDict(arbitrary_types_allowed=True)
        )
        try:
            values[key] = adapter.validate_python(value)
        except ValidationError as error:
            problem = error.errors()[0]
            raise InputError(
                problem["msg"], where=".".join([where, key, *map(str, problem["loc"])]), got=value
            ) from error
    missing = [
        field.name
        for field in dataclasses.fields(cls)
        if field.init
        and field.name not in values
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise InputError(f"{name} needs the field {missing[0]}", where=where, hint="add it")
    try:
        return cls(**values)
    except InputError as error:
        place = f"{where}: {error.where}" if error.where else where
        raise InputError(error.what, where=place, got=error.got, hint=error.hint) from error
    except ValueError as error:
        raise InputError(str(error), where=where, got=dict(fields)) from error


def holds_sequence(kind: Kind, name: str, field: str, folder: FilePath | None = None) -> bool:
    """Whether a plug-in's field takes a list itself, so that a list there is no sweep."""
    hints = typing.get_type_hints(load(kind, name, folder=folder), include_extras=True)
    hint = hints.get(field)
    options = [hint, *typing.get_args(hint)]
    return any(typing.get_origin(option) in {tuple, list} for option in options)


def _nested(kind: Kind, value: Any, where: str, folder: FilePath | None) -> Any:
    """The plug-in that a field of another one names."""
    if isinstance(value, Strategy | Verifier):
        return value
    spec = {"name": value} if isinstance(value, str) else value
    if not isinstance(spec, Mapping) or not isinstance(spec.get("name"), str):
        raise InputError("a plug-in inside a plug-in needs a name", where=where, got=value)
    fields = {key: field for key, field in spec.items() if key != "name"}
    return build(kind, spec["name"], fields, where=where, folder=folder)


def _plugin_kind(hint: Any) -> Kind | None:
    for option in (hint, *typing.get_args(hint)):
        if inspect.isclass(option) and issubclass(option, Strategy):
            return "strategies"
        if inspect.isclass(option) and issubclass(option, Verifier):
            return "verifiers"
    return None


def _only_class(kind: Kind, module: ModuleType, name: str) -> Any:
    """The one plug-in class that a module defines."""
    classes = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, _PROTOCOL[kind])
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    ]
    if len(classes) != 1:
        raise InputError(
            f"a {_SINGULAR[kind]}'s file defines one class of its kind",
            where=str(module.__file__),
            got=", ".join(cls.__name__ for cls in classes) or "none",
            hint=f"derive one frozen dataclass from ttscale.{_PROTOCOL[kind].__name__}",
        )
    if not dataclasses.is_dataclass(classes[0]):
        raise InputError(
            f"{name} is not a dataclass",
            where=str(module.__file__),
            hint="put @dataclass(frozen=True) above the class",
        )
    return classes[0]


def _load_file(path: FilePath, where: str | None) -> ModuleType:
    if not path.is_file():
        raise InputError("there is no such plug-in file", where=where, got=str(path))
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    name = f"ttscale_plugin_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InputError(
            f"the plug-in file does not load: {type(error).__name__}: {error}", where=str(path)
        ) from error
    return module
