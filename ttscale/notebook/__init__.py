"""`ttscale.run` and `ttscale.load`: runs and pools from Python and in notebooks."""

from ttscale.notebook.loaded import Loaded, Picture, load
from ttscale.notebook.running import run

__all__ = ["Loaded", "Picture", "load", "run"]
