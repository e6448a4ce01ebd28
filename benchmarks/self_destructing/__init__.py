"""MLAC's original experiment, reproduced with this project's implementation."""
