"""The commands of `python -m rebar`: those for people, and one per stage for the rules."""
