"""`python -m medseg` is the `medseg` command."""

from medseg.cli.app import main

main()
