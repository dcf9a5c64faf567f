"""``python -m layered_nst.cli``."""

from layered_nst.cli import main

main()
