"""Post-training methods: one file each, found by its name.

A file has the paper in its docstring, `class Config(Settings)` and
`loss(config, model, batch, reference) -> Tensor`: the scalar that the training loop minimises.
`batch` is (inputs_BT, targets_BT), `reference` the frozen base model or None. torch and the engine
are imported inside functions: the driver reads `Config` without them.
"""
