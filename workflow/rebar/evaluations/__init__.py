"""What is asked of a model: one file for each evaluation.

A file has a `Config` derived from `Evaluation` or `PromptEvaluation` (`rebar.config.kinds`) and
`evaluate(config, asker) -> rows`. The asker (`rebar.evaluations._asker`) asks one model with one
decoder. An evaluation whose settings name a judge also gets it, `evaluate(config, asker, judge)`:
`judge(prompts, answers)` decides what each answer is. A row is one answer with its outcome. The
stage `summarize` computes shares, intervals and collapsed cells from the rows.
"""
