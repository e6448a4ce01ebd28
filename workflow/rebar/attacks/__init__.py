"""What an adversary or an innocent user does to a released model: one file for each attack.

A file has the paper in its docstring, a `Config` and one function. `Config` derives from a base in
`rebar.config.kinds`, and the base decides about the function:

- `Attack` (changes weights) and `FineTuningAttack` (trains): `attack(config, target) -> model`;
- `InputAttack` (leaves the weights alone): `words(config, target) -> InputWords`, what stands
  around every request. Evaluations then ask the released model with these words.

`target` is a `rebar.attacks._target.Target`: the model with its tokenizer, examples and requests
(`target.data`), and `target.fine_tune`, which continues after an interruption. Facts for the
manifest go into `target.facts`. Without steps or strength an attack leaves the weights as they are,
bit by bit. Attacks never import evaluations: what is measured does not concern the attacker.
"""
