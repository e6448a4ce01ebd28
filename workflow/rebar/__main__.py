"""`python -m rebar`: see cli.py."""

from rebar.cli import main

main()
