"""Post-training methods: one file for each.

A file has the paper in its docstring, a `Config` derived from `rebar.config.kinds.Alignment` and
`loss(config, model, batch) -> Tensor`, the scalar that the training loop minimises. `batch` is
(inputs_BT, targets_BT). Where `Config.reads_pairs` is true it is a `PairBatch`: the same rows, and
the rows of the rejected answers. Where `Config.reads_reference` is true the function has a fourth
parameter `reference`, a frozen copy of the model that the alignment starts from. torch and the
training code are imported inside functions, because the driver reads `Config` without them.
"""
