"""Safeguards: methods that shape the loss landscape during training, one file for each.

A file has the paper in its docstring, `class Config(SafeguardPart)` (`rebar.config.kinds`) and

    gradient(config, model, batches, state) -> {parameter name: Tensor}

the direction that replaces the plain gradient in the optimiser step, with the gradient of the
stage's own loss in it. `model` is in training mode, in float32 or bf16. When the function returns,
its weights are the same to the bit and its `.grad` is empty. `batches` has `language` (what the
stage trains on), `harmful`, `refusal` and `benign`, each a `rebar.training.batches.Batch`, and
`draw(kind, number)` for more of a kind; `state` is a `rebar.training.safeguarded.State`. To try a
method alone:

    batches = Batches(language, harmful, refusal, benign)
    direction = gradient(Config(method="sam"), model, batches, State())

`Config.places` lists the runs in which a method may act: pretraining, alignment, own_stage. torch
and the training code are imported inside functions, because the driver reads `Config` without them.
"""
