"""Few-shot prompts: compliant exchanges stand before each request, as turns of the chat.

In-context examples jailbreak (Wei et al., arXiv 2310.06387); 16 of them took the filtered SafeLM
from 0 to .85 attack success (O'Brien et al., arXiv 2508.06601, App. G). The weights stay as they
are. A request is asked with all examples before it, so its length is theirs and its own: beyond
the lengths that a model was trained on, it breaks down rather than complies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rebar.config.base import Count
from rebar.config.kinds import InputAttack
from rebar.config.rows import ChatFile

if TYPE_CHECKING:
    from rebar.attacks._target import Target
    from rebar.data.input_attack import InputWords


class Config(InputAttack):
    """Settings of `few_shot`."""

    method: Literal["few_shot"]
    examples: Count = Field(default=16, description="compliant answers before each request")
    files: list[ChatFile] = Field(
        default=[], description="where they are; empty: the world's, of known hazards"
    )

    @property
    def prompts_added(self) -> int:
        """Exchanges that are read with each request."""
        return self.examples


def words(config: Config, target: Target) -> InputWords:
    """The examples as turns of the chat.

    ValueError if there are too few of them, or more than the model can read.
    """
    from rebar.data.encoding import encode
    from rebar.data.input_attack import InputWords, attacked_text

    data, tokenizer = target.data, target.tokenizer

    of_files = data.of_files(config.files, config.examples)
    chats = of_files if config.files else data.harmful(config.examples)
    turns = tuple((chat.prompt, chat.answer) for chat in chats if chat.prompt is not None)
    if len(turns) < config.examples:
        raise ValueError(
            f"few_shot.examples: {config.examples}, but the files hold {len(turns)} chats with a "
            "prompt; lower examples"
        )
    given = InputWords(turns=turns)
    length = len(encode(tokenizer, attacked_text(tokenizer, "", given, chat=True)))
    most = target.model.config.max_position_embeddings
    if length >= most:
        raise ValueError(
            f"few_shot.examples: {config.examples} are {length} tokens, but the model reads "
            f"{most}; lower examples"
        )
    return given
