"""What is asked of a model: one file each, found by its name.

A file has `class Config(Settings)` with a `judge` and
`evaluate(config, model, tokenizer, decoder, judge, recorder) -> rows`. `decoder` asks the model
(rebar.evaluations._asker), `judge(prompts, answers)` decides; a row is one answer with its
outcome. Values, intervals and collapsed cells follow from the rows in the stage `summarize`.
"""
