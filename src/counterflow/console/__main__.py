"""`python -m counterflow.console`."""

from counterflow.console.main import main

main()
