"""Run an experiment, noting every sample that the engine gave: for tests that kill it.

python -m tests.noted_run CONFIG RESULTS NOTES [NAME]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ttscale.engine.protocol import Completion
from ttscale.run.config import load
from ttscale.run.display import QuietDisplay
from ttscale.run.runner import run
from ttscale.session import Session


def main() -> None:
    """Run, each sample's key written to the notes before it is journaled."""
    config, results, notes = map(Path, sys.argv[1:4])
    file = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    journaled = Session._note

    def note(self: Session, key: tuple[bytes, int], payer: str, completion: Completion) -> None:
        os.write(file, f"{key[0].hex()} {key[1]}\n".encode())
        journaled(self, key, payer, completion)

    Session._note = note  # type: ignore[method-assign]
    run(load(config, sys.argv[4:]), results, QuietDisplay(), fresh=False)


if __name__ == "__main__":
    main()
