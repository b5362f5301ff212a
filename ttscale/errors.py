"""The errors a user can mend, each with what, where, got and try."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ttscale.text import visible


class TTScaleError(Exception):
    """An end of a run that is not the user's doing; the command line exits with status 1."""


class Interrupted(TTScaleError):
    """The user stopped a run; the command line exits with status 130."""


class InputError(TTScaleError):
    """Input the user can mend; the command line prints it and exits with status 2.

    Parameters
    ----------
    what : one sentence saying what is wrong.
    where : the file, key or option it stands in.
    got : the value that was found there.
    hint : what would be right.
    """

    def __init__(
        self, what: str, *, where: str | None = None, got: object = None, hint: str | None = None
    ) -> None:
        self.what, self.where, self.got, self.hint = what, where, got, hint
        lines = [what]
        if where is not None:
            lines.append(f"  where: {where}")
        if got is not None:
            lines.append(f"  got:   {shorten(got)}")
        if hint is not None:
            lines.append(f"  try:   {hint}")
        super().__init__("\n".join(lines))


def shorten(value: object, width: int = 200) -> str:
    """`repr` of a value on one line of at most `width` characters, none of which acts."""
    text = value if isinstance(value, str) else repr(value)
    text = visible(" ".join(text[: 10 * width].split()))
    return text if len(text) <= width else text[: width - 1] + "…"


def closest(name: str, valid: Iterable[str]) -> str:
    """The hint for a misspelt name: the nearest valid names, or all of them."""
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(near) + "?"
    return "one of " + ", ".join(names) if names else "there are none"
