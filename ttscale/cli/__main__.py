"""`python -m ttscale.cli`."""

from ttscale.cli import main

main()
