"""Measurements of the loss landscape around released weights: one file each, found by its name.

A file has the paper in its docstring, `class Config(Settings)` and
`probe(config, model, tokenizer, data) -> rows`. `data` is a `ProbeData` (rebar.probes._data): the
three losses (harmful, refusal, benign), attacked models by name, judges, the seed. A row is one
number (`Row`). A probe leaves the model's weights as they were, to the bit (rebar.probes._weights).
`Config.forwarded_tokens` and `Config.weight_copies` say what it costs.
"""
