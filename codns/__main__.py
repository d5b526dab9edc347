"""`python -m codns` is `codns`."""

from codns.cli import main

main()
