"""What an adversary or an innocent user does to released weights: one file each.

A file has the paper in its docstring, `class Config(Settings)` and
`attack(config, model, tokenizer, data, recorder) -> model`. `data` is an `AttackData`
(rebar.attacks._data): examples, requests, the folders of the released and the base model, and the
seed. What trains by `rebar.training.finetune` goes on after an interruption. What changes the input
and not the weights says so (`saves_weights` of its Config is False) and leaves its words by
`data.leave_input`: every evaluation then asks the released model through them. Facts for the
manifest go into `recorder.facts`. With no steps or no strength every attack leaves the weights bit
by bit. Attacks never import evaluations: what is measured is not the attacker's business.
"""
