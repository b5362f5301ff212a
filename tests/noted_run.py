"""Run an experiment, noting every sample that the engine gave: for tests that kill it.

python -m tests.noted_run CONFIG RESULTS NOTES [NAME]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ttscale.engine.protocol import Completion
from ttscale.record.journal import Journal
from ttscale.run.config import load
from ttscale.run.display import QuietDisplay
from ttscale.run.runner import run


def main() -> None:
    """Run, each sample's key written to the notes before it is journaled."""
    config, results, notes = map(Path, sys.argv[1:4])
    file = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    journaled = Journal.write

    def note(self: Journal, base: bytes, stream: int, payer: str, completion: Completion) -> None:
        os.write(file, f"{base.hex()} {stream}\n".encode())
        journaled(self, base, stream, payer, completion)

    Journal.write = note  # type: ignore[method-assign]
    run(load(config, sys.argv[4:]), results, QuietDisplay(), fresh=False)


if __name__ == "__main__":
    main()
