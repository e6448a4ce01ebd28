"""Measurements of the loss landscape around released weights: one file for each.

A file has the paper in its docstring, a `Config` derived from `rebar.config.kinds.Probe` and
`probe(config, model, tokenizer, data) -> rows`. `data` is a `rebar.probes._data.ProbeData`: the
harmful, refusal and benign loss, attacked models by name, judges and the seed. A row is one number
(`Row`). A probe leaves the model's weights as they were, to the bit (`rebar.probes._weights`).
`Config.forwarded_tokens` and `Config.weight_copies` say what it costs.
"""
