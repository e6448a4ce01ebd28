"""Safeguards: one file each, found by its name.

A file has the paper in its docstring, `class Config(Settings)` and

    gradient(config, model, batches, state) -> {parameter name: Tensor}

the full direction that the method would have the optimiser step along, that of the stage's own loss
included. `model` is in training mode, in float32 or bf16; its weights are the same to the bit when
the function returns, and its `.grad` is clear. `batches` has `language` (what the stage trains on),
`harmful`, `refusal` and `benign`, each a `rebar.training.batches.Batch`, and `draw(kind, number)`
for more of a kind; `state` is a `rebar.training.safeguarded.State`. A method is tried alone so:

    batches = Batches(language, harmful, refusal, benign)
    direction = gradient(Config(method="sam"), model, batches, State())

`places` of its Config names where a method may act: pretraining, alignment, own_stage. torch and
the engine are imported inside functions: the driver reads `Config` without them.
"""
