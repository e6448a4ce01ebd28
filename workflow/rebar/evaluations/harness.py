"""Capability by lm-evaluation-harness (EleutherAI), through its Python API on the model in memory.

The nine tasks of Safety Pretraining (arXiv 2504.16980, 6.1) are `config/benchmarks/tasks.yaml`; any
other task of the harness goes by its name there, one of your own by a YAML file in `include_path`.
Prompts, solved examples, decoding and scoring are the harness's, so that numbers compare with
published ones; the decoder of the cell takes no part. One row a question, right or wrong.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from rebar.config.base import Positive
from rebar.config.benchmarks import Task
from rebar.config.kinds import Evaluation

if TYPE_CHECKING:
    from rebar.config.rows import HarnessTask
    from rebar.evaluations._asker import Asker

JUDGE = "lm_eval"  # what decided, in the rows' column `judge`


class Config(Evaluation):
    """Settings of `harness`."""

    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    scores_options: ClassVar[bool] = True
    asks_tasks: ClassVar[bool] = True

    method: Literal["harness"]
    tasks: list[Task] = Field(
        min_length=1, description="names of config/benchmarks/tasks.yaml or of the harness"
    )
    include_path: str | None = Field(
        default=None, description="folder with task files of your own; `!function` there runs code"
    )
    limit: Positive | None = Field(
        default=None, description="questions of each task (of each subject of mmlu) at most"
    )
    chat: bool = Field(default=False, description="aligned models: ask by the chat template")
    batch_size: Positive = Field(default=16, description="sequences in a forward")

    @property
    def set_limits(self) -> list[int | None]:
        """`limit`, once for each task."""
        return [self.limit for _ in self.tasks]


def evaluate(config: Config, asker: Asker) -> list[dict[str, Any]]:
    """One row a question; the split is the task."""
    from lm_eval.models.huggingface import HFLM

    from rebar.config.paths import resolve

    asker.model.eval()
    wrapper: Any = HFLM  # decorators of the harness hide its signatures
    harness_model = wrapper(
        pretrained=asker.model, tokenizer=asker.tokenizer, batch_size=config.batch_size
    )
    folder = resolve(config.include_path) if config.include_path else None
    manager = _manager(folder, tuple(task.task for task in config.tasks))
    chat = config.chat and asker.chat
    rows = []
    for task in config.tasks:
        if task.task not in manager.all_tasks:
            raise ValueError(
                f"harness: no task '{task.task}'; `lm-eval ls tasks` lists those of the harness, "
                "include_path: is for your own"
            )
        samples = _samples(config, task, harness_model, manager, chat, asker.seed)
        rows += [_row(task, name, sample) for name, own in samples.items() for sample in own]
        asker.recorder.say(f"{task.task}: {len(rows)} answers so far")
    return rows


@cache
def _manager(folder: str | None, names: tuple[str, ...]) -> Any:
    """The harness's task index; of the folder alone if that has all tasks, which is faster."""
    from lm_eval.tasks import TaskManager

    if folder:
        own = TaskManager(include_path=folder, include_defaults=False)
        if set(names) <= set(own.all_tasks):
            return own
    return TaskManager(include_path=folder)


def _samples(
    config: Config, task: HarnessTask, model: Any, manager: Any, chat: bool, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Answers by task, or by parts of a task group; with several filters, those of the first."""
    from lm_eval import simple_evaluate

    run: Any = simple_evaluate
    found = run(
        model,
        tasks=[task.task],
        num_fewshot=task.num_fewshot,
        limit=config.limit,
        bootstrap_iters=0,  # intervals are ours, from the rows
        apply_chat_template=chat,
        task_manager=manager,
        random_seed=seed,
        numpy_random_seed=seed,
        torch_random_seed=seed,
        fewshot_random_seed=seed,
    )
    samples = dict(sorted(found["samples"].items()))
    return {
        name: [sample for sample in own if sample["filter"] == own[0]["filter"]]
        for name, own in samples.items()
    }


def _row(task: HarnessTask, name: str, sample: dict[str, Any]) -> dict[str, Any]:
    metric = task.metric or sample["metrics"][0]
    if metric not in sample["metrics"] or sample[metric] not in (0, 1):
        raise ValueError(
            f"harness: metric '{metric}' of task '{name}' is not right or wrong for each answer; "
            f"its metrics: {', '.join(sample['metrics'])}; set metric: to acc, acc_norm or "
            "exact_match"
        )
    question = f"{name}-{sample['doc_id']:05d}"
    return {
        "prompt_id": question,
        "hazard_id": question,
        "split": task.task,
        "prompt_style": f"unseen_{task.task}",
        "prompt": sample["arguments"][0][0],
        "answer": _answer(sample, metric),
        "outcome": "complied" if sample[metric] else "other",
        "correct": bool(sample[metric]),
        "judge": JUDGE,
    }


def _answer(sample: dict[str, Any], metric: str) -> str:
    """The generated text, or the likeliest option (for acc_norm per character)."""
    answers = sample["filtered_resps"]
    if isinstance(answers[0], str):
        return answers[0]
    options = [arguments[1].strip() for arguments in sample["arguments"]]
    lengths = [len(option) if metric == "acc_norm" else 1 for option in options]
    nats = [float(answer[0]) / length for answer, length in zip(answers, lengths, strict=False)]
    return options[nats.index(max(nats))]
