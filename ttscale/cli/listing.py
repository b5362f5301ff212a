"""`ttscale list`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ttscale.cli.options import AsJson
from ttscale.errors import InputError, closest


def list_names(
    what: Annotated[
        str,
        typer.Argument(
            help="strategies, verifiers, benchmarks, models, hardware or laws.", show_default=False
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """List what configurations and commands can name."""
    from ttscale.listing import KINDS, listing

    if what not in KINDS:
        raise InputError("there is no such list", got=what, hint=closest(what, KINDS))
    entries = listing(what)
    if as_json:
        print(json.dumps(entries, ensure_ascii=False))
        return
    width = max((len(name) for name in entries), default=0)
    for name, about in entries.items():
        print(f"{name:{width}}  {about}".rstrip())
