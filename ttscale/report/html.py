"""Pages: one file each, with all of their data, that asks nothing of any server.

What stands in a page came out of a model, and is text: templates escape everything, characters that
would act are written out, data lie in JSON that no tag can end, and the page's own policy forbids
every script but its own and every request.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from ttscale.record.files import finite, replacing
from ttscale.report.drawing import Drawing
from ttscale.text import ACTIVE, visible

TEMPLATES = files("ttscale.report") / "templates"

_UNSAFE = re.compile(f"[<>&]|{ACTIVE.pattern}")


def write_page(path: Path, template: str, content: Mapping[str, Any]) -> None:
    """Render a template with its content and write it, whole or not at all.

    Content has what the template names, and `data`: JSON by the id of its element.
    """
    page = render(template, content)
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def render(template: str, content: Mapping[str, Any]) -> str:
    """A page."""
    from ttscale import __version__

    script = "\n".join(_file(name) for name in ("page.js", "viewer.js"))
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_file),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_plain,
    )
    environment.filters |= {"json": embedded, "svg": Markup, "csv_link": csv_link}
    return environment.get_template(template).render(
        policy=policy(script),
        version=__version__,
        style=Markup(_style()),
        script=Markup(script),
        **content,
    )


def policy(script: str) -> str:
    """The page's content security policy: its own script, its own styles, and nothing else."""
    digest = b64encode(sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )


def embedded(value: Any) -> Markup:
    """A value as JSON between script tags: `<`, `>`, `&` and every character that acts escaped."""
    text = json.dumps(finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(_UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def csv_link(drawing: Drawing) -> str:
    """A drawing's data as the address of a download."""
    return "data:text/csv;charset=utf-8," + quote(drawing.csv(), safe=",:()[]=@ '")


def _plain(value: Any) -> Any:
    """Every text that a template puts in, but for what is markup of our own."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value)
    return value


def _file(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _style() -> str:
    """The style sheet, its dark colours where the reader's system or choice asks for them."""
    dark = _file("dark.css")
    return (
        f"{_file('style.css')}"
        f'@media screen {{ :root[data-theme="dark"] {{ {dark} }} }}\n'
        "@media screen and (prefers-color-scheme: dark) "
        f'{{ :root:not([data-theme="light"]) {{ {dark} }} }}\n'
    )
