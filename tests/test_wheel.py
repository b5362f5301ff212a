"""What is installed is what is in the checkout: the linked folders reach wheel and sdist."""

from __future__ import annotations

import email
import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

import ttscale

CHECKOUT = Path(__file__).parents[1]
SOURCES = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "ttscale",
    "strategies",
    "verifiers",
    "configs",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel built from it, out of a copy of the checkout."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in SOURCES:
        if (CHECKOUT / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(CHECKOUT / name, copy / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy(CHECKOUT / name, copy / name)
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, copy],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment with the wheel, on the dependencies in use here."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel],
        check=True,
    )
    (site,) = folder.glob("lib/python*/site-packages")
    # a .pth line only extends the path: the editable install in that folder does not come along
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    (site / "dependencies.pth").write_text("\n".join(dependencies) + "\n")
    return python


def files_of_checkout() -> set[str]:
    """Every file of the package, through its links, that belongs into a wheel: code and data."""
    paths = {
        Path(folder, name).relative_to(CHECKOUT)
        for folder, _, names in os.walk(CHECKOUT / "ttscale", followlinks=True)
        for name in names
        if Path(folder).name != "__pycache__" and not name.endswith("ruff.toml")
    }
    return {path.as_posix() for path in paths if not any(p.startswith(".") for p in path.parts)}


def ask(python: Path, expression: str) -> Any:
    """The value of an expression in another environment, asked far from the checkout."""
    code = f"import json, ttscale; from ttscale import registry; print(json.dumps({expression}))"
    result = subprocess.run(
        [python, "-I", "-c", code], cwd="/", check=True, capture_output=True, text=True
    )
    return json.loads(result.stdout)


def test_the_wheel_holds_every_file_of_the_package_and_nothing_beside_it(wheel: Path) -> None:
    expected = files_of_checkout()
    assert "ttscale/strategies/best_of_n.py" in expected
    assert "ttscale/verifiers/exact.py" in expected
    assert "ttscale/configs/experiments/demo.yaml" in expected
    assert "ttscale/py.typed" in expected
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert expected - names == set()
    assert {name.split("/")[0] for name in names} == {"ttscale"}


def test_the_sdist_holds_the_same_package(built: Path, wheel: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        members = {member.name.split("/", 1)[-1]: member for member in archive.getmembers()}
    missing = files_of_checkout() - members.keys()
    assert missing == set()
    assert not any(member.issym() for member in members.values())


def test_the_wheel_carries_the_licence_the_command_and_the_plugin(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        texts = {
            name.split(".dist-info/")[1]: archive.read(name).decode()
            for name in archive.namelist()
            if ".dist-info/" in name
        }
    metadata = email.message_from_string(texts["METADATA"])
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Apache License" in texts["licenses/LICENSE"]
    assert "ttscale = ttscale.cli:main" in texts["entry_points.txt"]
    assert "ttscale = ttscale.engine.vllm_plugin:register" in texts["entry_points.txt"]


@pytest.mark.parametrize("kind", ["strategies", "verifiers"])
def test_an_installed_wheel_has_the_plugins_of_the_checkout(installed: Path, kind: Any) -> None:
    from ttscale import registry

    where = Path(ask(installed, "ttscale.__file__"))
    assert where.is_relative_to(installed.parents[1])
    assert where != Path(ttscale.__file__)
    names = registry.names(kind)
    assert ask(installed, f"registry.names({kind!r})") == names
    classes = f"[registry.load({kind!r}, name).__name__ for name in {names!r}]"
    assert ask(installed, classes) == [registry.load(kind, name).__name__ for name in names]
