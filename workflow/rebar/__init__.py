"""Rebar: safety as part of a language model's foundation, and a measure of whether it holds."""
