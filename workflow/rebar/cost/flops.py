"""How much there is to do: FLOPs, memory, disk and files of a job, from the config alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from rebar import grid
from rebar.config.file import Config
from rebar.config.kinds import Attack, Evaluation, FineTuningAttack
from rebar.config.model import Training
from rebar.config.safeguard import Safeguard
from rebar.cost.sizes import (
    DOCUMENT_TOKENS,
    HUB_LAYERS,
    READ_FLOPS,
    TRAIN_FLOPS,
    model_parameters,
    pretraining_tokens,
    shard_text,
    size_of,
)

PROMPTS = 400  # of a prompt set without limit
PROMPT_TOKENS = 100
JUDGED_TOKENS = 500  # of a judge's template with prompt and answer in it
TASK_QUESTIONS, OPTIONS = 4600, 4  # of a task of lm-evaluation-harness: the mean of the nine
# Share of a corpus in the score bands that are rewritten, when nothing limits it: ours, from the
# published histogram (2504.16980, 3.1: about a fifth of the raw web scores 1 or more).
REWRITTEN_SHARE = 0.2
GUARD_COPIES = 3  # of a safeguard's step: the plain gradient, an offset, weights to come back to


class Work(NamedTuple):
    """What a job does, all estimates."""

    train_flops: float = 0.0  # matrix products in large batches
    generate_flops: float = 0.0  # a token after the other, bound by memory
    cpu_seconds: float = 0.0  # of one core
    parameters: float = 0.0  # of the largest model in memory
    is_trained: bool = False
    memory_bytes: float = 0.0  # data in memory beside the model
    disk_bytes: float = 0.0  # results
    checkpoint_bytes: float = 0.0
    files: int = 5


def work(config: Config, stage: str, wildcards: Mapping[str, Any]) -> Work:
    """What one job of the stage does."""
    return _WORK[stage](config, wildcards)


def _collect(config: Config, wildcards: Mapping[str, Any]) -> Work:
    count, _, size = shard_text(config)
    return Work(cpu_seconds=2e-4 * count, memory_bytes=3 * size, disk_bytes=size / 2)


def _train_classifier(config: Config, wildcards: Mapping[str, Any]) -> Work:
    settings = config.train_classifier
    count = settings.labels + settings.heldout
    common = Work(cpu_seconds=20 + 5e-3 * count, disk_bytes=20e6)
    if not settings.encoder:
        return common
    size = size_of(settings.encoder)
    reading = READ_FLOPS * size * count * DOCUMENT_TOKENS
    return common._replace(train_flops=reading, parameters=size)


def _score(config: Config, wildcards: Mapping[str, Any]) -> Work:
    count, tokens, size = shard_text(config)
    encoder = config.train_classifier.encoder
    reading = READ_FLOPS * size_of(encoder) * tokens if encoder else 0.0
    return Work(
        train_flops=reading,
        cpu_seconds=1e-3 * count,
        parameters=size_of(encoder) if encoder else 0.0,
        memory_bytes=3 * size,
        disk_bytes=size / 2,
    )


def _rewrite(config: Config, wildcards: Mapping[str, Any]) -> Work:
    settings = config.rewrite
    count, _, size = shard_text(config, REWRITTEN_SHARE)
    if settings.max_documents:
        count = min(count, settings.max_documents / config.collect.shards)
    common = Work(cpu_seconds=5e-3 * count, memory_bytes=4 * size, disk_bytes=size / 2)
    if settings.backend == "world" or settings.model is None:
        return common
    tokens = 1.3 * settings.max_source_words + settings.max_new_tokens
    size_of_model = size_of(settings.model)
    return common._replace(
        generate_flops=READ_FLOPS * size_of_model * count * tokens, parameters=size_of_model
    )


def _mix(config: Config, wildcards: Mapping[str, Any]) -> Work:
    _, _, size = shard_text(config)
    whole = size * config.collect.shards
    return Work(cpu_seconds=whole / 20e6, memory_bytes=whole / 2, disk_bytes=whole / 2)


def _tokenize(config: Config, wildcards: Mapping[str, Any]) -> Work:
    tokens = pretraining_tokens(config)
    return Work(cpu_seconds=tokens / 5e5, memory_bytes=4 * tokens, disk_bytes=4 * tokens, files=10)


def _pretrain(config: Config, wildcards: Mapping[str, Any]) -> Work:
    size = model_parameters(config, wildcards["recipe"])
    if config.recipes[wildcards["recipe"]].initial_model:
        return Work(cpu_seconds=size / 1e8, parameters=size, disk_bytes=4 * size, files=10)
    return _guarded(_training(config.pretrain, size), grid.acting(config, "pretrain", wildcards))


def _training(settings: Training, size: float) -> Work:
    """One run; weights are saved in float32, checkpoints hold AdamW's two moments too."""
    tokens = settings.steps * settings.tokens_per_step
    return Work(
        train_flops=TRAIN_FLOPS * size * tokens,
        parameters=size,
        is_trained=True,
        memory_bytes=4 * settings.tokens_per_step * size**0.5,  # activations, roughly
        disk_bytes=4 * size,
        checkpoint_bytes=12 * size,
        files=12,
    )


def _align(config: Config, wildcards: Mapping[str, Any]) -> Work:
    setting = config.alignments[wildcards["alignment"]]
    run = _training(setting.training, model_parameters(config, wildcards["recipe"]))
    rows = 2 if setting.reads_pairs else 1
    references = int(setting.reads_reference)  # frozen: forward over all rows
    run = run._replace(
        train_flops=rows * run.train_flops * (1 + references * READ_FLOPS / TRAIN_FLOPS),
        memory_bytes=rows * run.memory_bytes + references * 4 * run.parameters,
    )
    return _guarded(run, grid.acting(config, "align", wildcards))


def _safeguard(config: Config, wildcards: Mapping[str, Any]) -> Work:
    safeguard = config.safeguards[wildcards["safeguard"]]
    assert safeguard.training is not None
    run = _training(safeguard.training, model_parameters(config, wildcards["recipe"]))
    return _guarded(run, safeguard)


def _guarded(run: Work, safeguard: Safeguard | None) -> Work:
    """A training with the passes of its safeguard, and what that holds in float32 beside it."""
    if safeguard is None:
        return run
    references = any(part.reads_reference for part in safeguard.parts)
    copies = 4 * run.parameters * (GUARD_COPIES + references + len(safeguard.twins))
    return run._replace(
        train_flops=run.train_flops * safeguard.passes, memory_bytes=run.memory_bytes + copies
    )


def _attack(config: Config, wildcards: Mapping[str, Any]) -> Work:
    """All attacks on a model, one after the other; one that does not train needs as much memory."""
    size = model_parameters(config, wildcards["recipe"])
    is_ours = not config.recipes[wildcards["recipe"]].initial_model
    layers = config.model.layers if is_ours else HUB_LAYERS
    names = grid.fixed_attacks(config, grid.arm_of(wildcards))
    runs = [_one_attack(config.attacks[name], size, layers) for name in names]
    return Work(
        train_flops=sum(run.train_flops for run in runs),
        parameters=size,
        is_trained=True,
        memory_bytes=max(run.memory_bytes for run in runs),
        disk_bytes=sum(run.disk_bytes for run in runs),
        checkpoint_bytes=max(run.checkpoint_bytes for run in runs),
        files=sum(run.files for run in runs),
    )


def _search(config: Config, wildcards: Mapping[str, Any]) -> Work:
    """All trials, as long as the attack's own run, and their examinations."""
    size = model_parameters(config, wildcards["recipe"])
    total = Work(parameters=size, is_trained=True, files=0)
    for name in grid.searches(config, grid.arm_of(wildcards)):
        search = config.searches[name]
        run = _one_attack(config.attacks[search.attack], size, HUB_LAYERS)
        asked = [_answered(config, each) for each in (search.asr, search.capability)]
        total = total._replace(
            train_flops=total.train_flops + (search.trials + 1) * run.train_flops,
            generate_flops=total.generate_flops + READ_FLOPS * size * search.trials * sum(asked),
            memory_bytes=max(total.memory_bytes, search.together * (run.memory_bytes + 16 * size)),
            disk_bytes=total.disk_bytes + run.disk_bytes,
            files=total.files + run.files + 1,
        )
    return total


def _one_attack(setting: Attack, size: float, layers: int) -> Work:
    """A training, or prompts that the model reads; an input attack saves a few words only."""
    if isinstance(setting, FineTuningAttack):
        run = _training(setting.training, size)
        compared = setting.compared_rows * setting.training.sequence_length  # to choose data
        return run._replace(train_flops=run.train_flops + TRAIN_FLOPS * size * compared)
    return Work(
        train_flops=READ_FLOPS * size * setting.prompts_read(layers) * PROMPT_TOKENS,
        disk_bytes=4 * size if setting.saves_weights else 1e4,
        files=12 if setting.saves_weights else 5,
    )


def _evaluate(config: Config, wildcards: Mapping[str, Any]) -> Work:
    size = model_parameters(config, wildcards["recipe"])
    measured = grid.measurements(config, grid.arm_of(wildcards))
    tokens = sum(_generated(config, m) for m in measured)
    models = len({m.attack for m in measured})
    judging = _judged(config, _answers_by_judge(config, measured))
    return Work(
        generate_flops=READ_FLOPS * size * tokens + judging.generate_flops,
        parameters=size + judging.parameters,
        disk_bytes=1e6 * models,
        files=5 * models,
    )


def _answers_by_judge(config: Config, measured: list[grid.Measurement]) -> dict[str, float]:
    answers: dict[str, float] = {}
    for measurement in measured:
        setting = config.evaluations[measurement.evaluation]
        for judge in setting.judges:
            answers[judge] = answers.get(judge, 0) + sum(_prompts(setting))
    return answers


def _generated(config: Config, cell: grid.Measurement) -> float:
    """Tokens that go through the model for one evaluation of one model."""
    width = config.decoders[cell.decoder].generator.forwards_per_token
    attack = config.attacks.get(cell.attack)
    added = attack.prompts_added if attack else 0
    return _answered(config, cell.evaluation, 1 + added) * width


def _answered(config: Config, evaluation: str, read: int = 1) -> float:
    """Tokens of an evaluation's prompts, each read with others before it, and greedy answers."""
    setting = config.evaluations[evaluation]
    length = read * PROMPT_TOKENS + setting.longest_answer
    return sum(_prompts(setting)) * length


def _prompts(setting: Evaluation) -> list[int]:
    """Prompts of each set; an option that is scored counts as a prompt."""
    options = OPTIONS if setting.scores_options else 1
    usual = TASK_QUESTIONS if setting.asks_tasks else PROMPTS
    return [options * (limit or usual) for limit in setting.set_limits]


def _probe(config: Config, wildcards: Mapping[str, Any]) -> Work:
    """Forwards of all probes; memory of the one that holds most copies of the weights."""
    size = model_parameters(config, wildcards["recipe"])
    names = grid.probes(config, grid.arm_of(wildcards))
    settings = [config.probes[name] for name in names]
    return Work(
        generate_flops=READ_FLOPS * size * sum(s.forwarded_tokens for s in settings),
        parameters=size,
        memory_bytes=max(4 * size * s.weight_copies for s in settings),
        disk_bytes=1e5 * len(settings),
        files=3 * len(settings),
    )


def _audit(config: Config, wildcards: Mapping[str, Any]) -> Work:
    """Every judge on labelled files, second judges on stored answers as well."""
    labelled = PROMPTS * len(config.audit.labelled)
    stored = config.audit.answers * len(config.evaluations)
    answers = {name: labelled for name in config.judges}
    for name in config.audit.second_judges:
        answers[name] += stored
    return _judged(config, answers)._replace(files=1)


def _judged(config: Config, answers: Mapping[str, float]) -> Work:
    """What judges do with so many answers each; models count by their size."""
    total = Work(cpu_seconds=1e-2 * sum(answers.values()))
    for name, count in answers.items():
        model = config.judges[name].judging_model
        if model:
            size = size_of(model)
            total = total._replace(
                generate_flops=total.generate_flops + READ_FLOPS * size * count * JUDGED_TOKENS,
                parameters=max(total.parameters, size),
            )
    return total


_WORK = {
    "collect": _collect,
    "train_classifier": _train_classifier,
    "score": _score,
    "rewrite": _rewrite,
    "mix": _mix,
    "tokenize": _tokenize,
    "pretrain": _pretrain,
    "align": _align,
    "safeguard": _safeguard,
    "attack": _attack,
    "search": _search,
    "evaluate": _evaluate,
    "probe": _probe,
    "audit": _audit,
}
