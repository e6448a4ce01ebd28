"""What an adversary or an innocent user does to released weights: one file each.

A file has the paper in its docstring, `class Config(Settings)` and
`attack(config, model, tokenizer, data, recorder) -> model`. `data` is an `AttackData`
(rebar.attacks._data): benign and harmful examples, and the seed. What trains by
`rebar.model.finetune` goes on after an interruption. Attacks never import
evaluations: what is measured is not the attacker's business.
"""
