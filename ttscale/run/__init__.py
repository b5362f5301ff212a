"""Running experiments. The package is also the function: `ttscale.run(config)`, see `notebook`."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ttscale.notebook import Loaded


class _Callable(ModuleType):
    """A module that can be called, so that one name serves `ttscale.run` both ways."""

    def __call__(self, config: Any, **options: Any) -> Loaded:
        """Run an experiment; `ttscale.notebook.run` says what it takes."""
        from ttscale.notebook import run

        return run(config, **options)


sys.modules[__name__].__class__ = _Callable
