"""MLAC's original experiment at its own scale; see `__main__`."""
