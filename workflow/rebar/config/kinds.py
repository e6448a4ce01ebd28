"""The base of the settings of each kind of plug-in: what the rest of Rebar may ask of one.

A plug-in's `Config` derives from the base of its kind and overrides what differs from the default.
The grid, the cost estimate, the stages and the report ask these bases; none of them looks for
attributes that a plug-in may or may not have, or compares the names of methods.

What stands under `TYPE_CHECKING` is a field of every `Config` of the kind. Each plug-in declares it
itself, because the order of its fields is the order of its keys in the documentation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from rebar.config.base import Positive, Settings
from rebar.config.benchmarks import PromptSet
from rebar.config.model import AlignmentData, FineTuning, Training
from rebar.config.rows import PromptFile
from rebar.config.search import Space

Place = Literal["pretraining", "alignment", "own_stage"]
# What an evaluation measures for the report: its comparison shows the first evaluation of a role.
Role = Literal["compliance", "knowledge", "over_refusal", "capability", "poisoning"]


def _each_once(judge: str | None, files: list[PromptFile]) -> list[str]:
    """Names of a judge and of the judges of prompt sets, in this order."""
    names = (judge, *(file.judge for file in files))
    return list(dict.fromkeys(name for name in names if name))


class Plugin(Settings):
    """Settings of one plug-in; `method` is the name of its file."""

    if TYPE_CHECKING:
        method: Any  # a literal in each plug-in


class Alignment(Plugin):
    """Settings of a post-training method."""

    reads_pairs: ClassVar[bool] = False  # its batches hold rejected answers as well
    reads_reference: ClassVar[bool] = False  # its loss gets the frozen start model

    if TYPE_CHECKING:
        training: Training
        data: AlignmentData


class Attack(Plugin):
    """Settings of an attack that changes weights without a training run."""

    saves_weights: ClassVar[bool] = True  # False: the attacked model is the released one
    reads_base: ClassVar[bool] = False  # it loads the arm's base model
    is_benign: ClassVar[bool] = False  # an innocent user's task, judged by what was learned
    # A search may tune it and `cost_to_break` may watch it: it trains, and its model is asked in
    # plain words.
    is_tunable: ClassVar[bool] = False

    @property
    def shares_hazards(self) -> bool:
        """True if it trains on the hazards that safeguards train on."""
        return False

    @property
    def prompts_added(self) -> int:
        """Exchanges that stand before each prompt of an evaluation."""
        return 0

    def prompts_read(self, layers: int) -> float:
        """Prompts that go through a model of so many layers during the attack, roughly."""
        return 0


class FineTuningAttack(FineTuning, Attack):
    """Settings of an attack that trains, all weights or by LoRA."""

    is_tunable: ClassVar[bool] = True
    tuning_space: ClassVar[Space] = {}  # what a search varies unless it names a space of its own

    if TYPE_CHECKING:
        training: Training

    @property
    def is_plain(self) -> bool:
        """True if it only trains on its `examples`, so that trials of a search share forwards."""
        return False

    @property
    def compared_rows(self) -> int:
        """Rows whose gradients are computed before the training, to choose or make examples."""
        return 0


class InputAttack(Attack):
    """Settings of an attack that leaves the weights alone and changes what a model is asked."""

    saves_weights: ClassVar[bool] = False


class Evaluation(Plugin):
    """Settings of an evaluation."""

    role: ClassVar[Role | None] = None
    # Metrics of its answers, the most important one first; the default fits any judged answers.
    metrics: ClassVar[tuple[str, ...]] = ("complied", "refused", "other", "correct")
    is_totalled: ClassVar[bool] = False  # its splits add up to a split `all`
    has_classes: ClassVar[bool] = False  # its answers are sorted into classes of compliance
    scores_options: ClassVar[bool] = False  # each option of a question is a prompt of its own
    asks_tasks: ClassVar[bool] = False  # whole benchmark tasks in the place of prompt sets

    @property
    def own_judge(self) -> str | None:
        """Name of the judge of its answers; None if the evaluation decides by itself."""
        return None

    @property
    def prompt_sets(self) -> list[PromptFile]:
        """Files whose prompts it asks; empty: prompts of the embedded world."""
        return []

    @property
    def longest_answer(self) -> int:
        """Tokens that are generated for a prompt, at most; 0 if nothing is generated."""
        return 0

    @property
    def set_limits(self) -> list[int | None]:
        """Questions of each prompt set or task, at most; None: all of it."""
        return [file.limit for file in self.prompt_sets] or [None]

    @property
    def judges(self) -> list[str]:
        """Names of its judges: its own, and those of its prompt sets."""
        return _each_once(self.own_judge, self.prompt_sets)


class PromptEvaluation(Evaluation):
    """Settings of an evaluation that asks prompts and lets a judge decide about each answer."""

    method: Any
    judge: str = Field(description="name of a judge")
    prompts: list[PromptSet] = Field(default=[], description="prompt sets; empty: the world's")
    max_new_tokens: Positive = Field(default=30, description="longest answer")

    @property
    def own_judge(self) -> str:
        """The judge of prompt sets that name none."""
        return self.judge

    @property
    def prompt_sets(self) -> list[PromptFile]:
        """What `prompts` names."""
        return self.prompts

    @property
    def longest_answer(self) -> int:
        """`max_new_tokens`."""
        return self.max_new_tokens


class Judge(Plugin):
    """Settings of a judge."""

    @property
    def judging_model(self) -> str | None:
        """Folder or Hub id of the model that reads the answers; None if it needs none."""
        return None


class Probe(Plugin):
    """Settings of a measurement of the loss landscape; it says what it costs."""

    @property
    def own_judge(self) -> str | None:
        """Name of the judge that it asks; None if it reads no answers."""
        return None

    @property
    def prompt_sets(self) -> list[PromptFile]:
        """Files whose prompts it asks; empty: it asks none, or those of the world."""
        return []

    @property
    def judges(self) -> list[str]:
        """Names of its judges: its own, and those of its prompt sets."""
        return _each_once(self.own_judge, self.prompt_sets)

    @property
    def looks_along(self) -> list[str]:
        """Names of attacks towards whose models it looks."""
        return []

    @property
    def forwarded_tokens(self) -> float:
        """Tokens that go forward through the model; a backward pass counts as two."""
        raise NotImplementedError(f"{type(self)} must say how many tokens it reads")

    @property
    def weight_copies(self) -> int:
        """Copies of the weights that it holds in memory at once, gradients included."""
        raise NotImplementedError(f"{type(self)} must say how many copies of the weights it holds")


class SafeguardPart(Plugin):
    """Settings of one method of a safeguard."""

    places: ClassVar[tuple[Place, ...]] = ("pretraining", "alignment", "own_stage")
    reads_reference: ClassVar[bool] = False  # it gets the frozen model that the run began with

    @property
    def twins(self) -> list[str]:
        """Unsafeguarded models of the grid that it reads: `recipe`, or `recipe/alignment`."""
        return []

    @property
    def passes(self) -> float:
        """Forward-backward passes a step, the run's own one included."""
        raise NotImplementedError(f"{type(self)} must say what a step costs")

    @property
    def learns_text(self) -> bool:
        """True if its direction includes the loss of the run's own text."""
        return True
