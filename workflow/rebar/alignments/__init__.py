"""Post-training methods: one file each, found by its name.

A file has the paper in its docstring, `class Config(Settings)` and
`loss(config, model, batch, reference) -> Tensor`: the scalar that the training loop minimises.
`batch` is (inputs_BT, targets_BT), for a `Config` with `reads_pairs` a `PairBatch` (the same rows,
and those of the rejected answers); `reference` is the model that the alignment begins with, frozen,
for a `Config` with `reads_reference`, or None. torch and the engine are imported inside functions:
the driver reads `Config` without them.
"""
