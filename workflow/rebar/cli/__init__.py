"""The commands of `python -m rebar`: those for people, and one a stage for the rules."""
