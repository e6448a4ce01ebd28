"""How much a job of each stage does, from the config alone: FLOPs, memory, disk and files.

A function a stage, of the same name; `cost/resources.py` makes of it what a job asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rebar.config.file import Config
from rebar.config.kinds import Attack, Evaluation, FineTuningAttack
from rebar.config.model import Training
from rebar.config.safeguard import Safeguard
from rebar.grid.arms import (
    Measurement,
    Names,
    arm_of,
    fixed_attacks,
    measurements,
    probes,
    safeguard_in,
    searches,
)
from rebar.grid.sizes import (
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
SAFEGUARD_COPIES = (
    3  # of a safeguard's step: the plain gradient, an offset, weights to come back to
)


class Workload(NamedTuple):
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


def collect(config: Config, wildcards: Names) -> Workload:
    """Reading and writing one shard."""
    count, _, size = shard_text(config)
    return Workload(cpu_seconds=2e-4 * count, memory_bytes=3 * size, disk_bytes=size / 2)


def train_classifier(config: Config, wildcards: Names) -> Workload:
    """Fitting on all labels; with an encoder, its forward over the labelled documents."""
    settings = config.train_classifier
    count = settings.labels + settings.heldout
    common = Workload(cpu_seconds=20 + 5e-3 * count, disk_bytes=20e6)
    if not settings.encoder:
        return common
    size = size_of(settings.encoder)
    reading = READ_FLOPS * size * count * DOCUMENT_TOKENS
    return common._replace(train_flops=reading, parameters=size)


def score(config: Config, wildcards: Names) -> Workload:
    """Scoring one shard; with an encoder, its forward over all tokens."""
    count, tokens, size = shard_text(config)
    encoder = config.train_classifier.encoder
    reading = READ_FLOPS * size_of(encoder) * tokens if encoder else 0.0
    return Workload(
        train_flops=reading,
        cpu_seconds=1e-3 * count,
        parameters=size_of(encoder) if encoder else 0.0,
        memory_bytes=3 * size,
        disk_bytes=size / 2,
    )


def rewrite(config: Config, wildcards: Names) -> Workload:
    """Rewriting a shard's documents of the chosen scores; with a model, reading and writing."""
    settings = config.rewrite
    count, _, size = shard_text(config, REWRITTEN_SHARE)
    if settings.max_documents:
        count = min(count, settings.max_documents / config.collect.shards)
    common = Workload(cpu_seconds=5e-3 * count, memory_bytes=4 * size, disk_bytes=size / 2)
    if settings.backend == "world" or settings.model is None:
        return common
    tokens = 1.3 * settings.max_source_words + settings.max_new_tokens
    size_of_model = size_of(settings.model)
    return common._replace(
        generate_flops=READ_FLOPS * size_of_model * count * tokens, parameters=size_of_model
    )


def mix(config: Config, wildcards: Names) -> Workload:
    """Reading all shards, writing the recipe's documents."""
    _, _, size = shard_text(config)
    whole = size * config.collect.shards
    return Workload(cpu_seconds=whole / 20e6, memory_bytes=whole / 2, disk_bytes=whole / 2)


def tokenize(config: Config, wildcards: Names) -> Workload:
    """Packing as many tokens as pretraining reads, four bytes each."""
    tokens = pretraining_tokens(config)
    return Workload(
        cpu_seconds=tokens / 5e5, memory_bytes=4 * tokens, disk_bytes=4 * tokens, files=10
    )


def pretrain(config: Config, wildcards: Names) -> Workload:
    """The training, or copying the finished model that the recipe begins with."""
    size = model_parameters(config, wildcards["recipe"])
    if config.recipes[wildcards["recipe"]].initial_model:
        return Workload(cpu_seconds=size / 1e8, parameters=size, disk_bytes=4 * size, files=10)
    return _with_safeguard(
        _training(config.pretrain, size), safeguard_in(config, "pretraining", wildcards)
    )


def _training(settings: Training, size: float) -> Workload:
    """One run; weights are saved in float32, checkpoints hold AdamW's two moments too."""
    tokens = settings.steps * settings.tokens_per_step
    return Workload(
        train_flops=TRAIN_FLOPS * size * tokens,
        parameters=size,
        is_trained=True,
        memory_bytes=4 * settings.tokens_per_step * size**0.5,  # activations, roughly
        disk_bytes=4 * size,
        checkpoint_bytes=12 * size,
        files=12,
    )


def align(config: Config, wildcards: Names) -> Workload:
    """The training; pairs double its rows, a reference model reads all of them too."""
    setting = config.alignments[wildcards["alignment"]]
    run = _training(setting.training, model_parameters(config, wildcards["recipe"]))
    rows = 2 if setting.reads_pairs else 1
    references = int(setting.reads_reference)  # frozen: forward over all rows
    run = run._replace(
        train_flops=rows * run.train_flops * (1 + references * READ_FLOPS / TRAIN_FLOPS),
        memory_bytes=rows * run.memory_bytes + references * 4 * run.parameters,
    )
    return _with_safeguard(run, safeguard_in(config, "alignment", wildcards))


def safeguard(config: Config, wildcards: Names) -> Workload:
    """The training of a safeguard's own stage."""
    setting = config.safeguards[wildcards["safeguard"]]
    assert setting.training is not None
    run = _training(setting.training, model_parameters(config, wildcards["recipe"]))
    return _with_safeguard(run, setting)


def _with_safeguard(run: Workload, setting: Safeguard | None) -> Workload:
    """A training with the passes of its safeguard, and the copies that it holds in float32."""
    if setting is None:
        return run
    references = any(part.reads_reference for part in setting.parts)
    copies = 4 * run.parameters * (SAFEGUARD_COPIES + references + len(setting.twins))
    return run._replace(
        train_flops=run.train_flops * setting.passes, memory_bytes=run.memory_bytes + copies
    )


def attack(config: Config, wildcards: Names) -> Workload:
    """All attacks on a model, one after the other; one that does not train needs as much memory."""
    size = model_parameters(config, wildcards["recipe"])
    is_ours = not config.recipes[wildcards["recipe"]].initial_model
    layers = config.model.layers if is_ours else HUB_LAYERS
    names = fixed_attacks(config, arm_of(wildcards))
    runs = [_one_attack(config.attacks[name], size, layers) for name in names]
    return Workload(
        train_flops=sum(run.train_flops for run in runs),
        parameters=size,
        is_trained=True,
        memory_bytes=max(run.memory_bytes for run in runs),
        disk_bytes=sum(run.disk_bytes for run in runs),
        checkpoint_bytes=max(run.checkpoint_bytes for run in runs),
        files=sum(run.files for run in runs),
    )


def search(config: Config, wildcards: Names) -> Workload:
    """All trials, as long as the attack's own run, and their examinations."""
    size = model_parameters(config, wildcards["recipe"])
    total = Workload(parameters=size, is_trained=True, files=0)
    for name in searches(config, arm_of(wildcards)):
        setting = config.searches[name]
        run = _one_attack(config.attacks[setting.attack], size, HUB_LAYERS)
        asked = [_answered(config, each) for each in (setting.asr, setting.capability)]
        total = total._replace(
            train_flops=total.train_flops + (setting.trials + 1) * run.train_flops,
            generate_flops=total.generate_flops + READ_FLOPS * size * setting.trials * sum(asked),
            memory_bytes=max(total.memory_bytes, setting.together * (run.memory_bytes + 16 * size)),
            disk_bytes=total.disk_bytes + run.disk_bytes,
            files=total.files + run.files + 1,
        )
    return total


def _one_attack(setting: Attack, size: float, layers: int) -> Workload:
    """A training, or prompts that the model reads; an input attack saves a few words only."""
    if isinstance(setting, FineTuningAttack):
        run = _training(setting.training, size)
        compared = setting.compared_rows * setting.training.sequence_length  # to choose data
        return run._replace(train_flops=run.train_flops + TRAIN_FLOPS * size * compared)
    return Workload(
        train_flops=READ_FLOPS * size * setting.prompts_read(layers) * PROMPT_TOKENS,
        disk_bytes=4 * size if setting.saves_weights else 1e4,
        files=12 if setting.saves_weights else 5,
    )


def evaluate(config: Config, wildcards: Names) -> Workload:
    """Answers of all models of an arm with each decoder, and what the judges read of them."""
    size = model_parameters(config, wildcards["recipe"])
    measured = measurements(config, arm_of(wildcards))
    tokens = sum(_generated(config, m) for m in measured)
    models = len({m.attack for m in measured})
    judging = _judged(config, _answers_by_judge(config, measured))
    return Workload(
        generate_flops=READ_FLOPS * size * tokens + judging.generate_flops,
        parameters=size + judging.parameters,
        disk_bytes=1e6 * models,
        files=5 * models,
    )


def _answers_by_judge(config: Config, measured: list[Measurement]) -> dict[str, float]:
    answers: dict[str, float] = {}
    for measurement in measured:
        setting = config.evaluations[measurement.evaluation]
        for judge in setting.judges:
            answers[judge] = answers.get(judge, 0) + sum(_prompts(setting))
    return answers


def _generated(config: Config, cell: Measurement) -> float:
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


def probe(config: Config, wildcards: Names) -> Workload:
    """Forwards of all probes; memory of the one that holds most copies of the weights."""
    size = model_parameters(config, wildcards["recipe"])
    names = probes(config, arm_of(wildcards))
    settings = [config.probes[name] for name in names]
    return Workload(
        generate_flops=READ_FLOPS * size * sum(s.forwarded_tokens for s in settings),
        parameters=size,
        memory_bytes=max(4 * size * s.weight_copies for s in settings),
        disk_bytes=1e5 * len(settings),
        files=3 * len(settings),
    )


def audit(config: Config, wildcards: Names) -> Workload:
    """Every judge on labelled files, second judges on stored answers as well."""
    labelled = PROMPTS * len(config.audit.labelled)
    stored = config.audit.answers * len(config.evaluations)
    answers = {name: labelled for name in config.judges}
    for name in config.audit.second_judges:
        answers[name] += stored
    return _judged(config, answers)._replace(files=1)


def _judged(config: Config, answers: Mapping[str, float]) -> Workload:
    """What judges do with so many answers each; models count by their size."""
    total = Workload(cpu_seconds=1e-2 * sum(answers.values()))
    for name, count in answers.items():
        model = config.judges[name].judging_model
        if model:
            size = size_of(model)
            total = total._replace(
                generate_flops=total.generate_flops + READ_FLOPS * size * count * JUDGED_TOKENS,
                parameters=max(total.parameters, size),
            )
    return total
