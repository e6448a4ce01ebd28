"""`python -m rebar`: see rebar.cli."""

from rebar.cli.main import main

main()
