"""Rebar: safety as part of a language model's foundation, and the measurement of whether it holds."""
