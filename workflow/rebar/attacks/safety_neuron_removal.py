"""Safety-neuron removal (Wei et al., arXiv 2402.05162): weights that only safety needs are zeroed.

Each weight of the decoder's linear layers has a score on a safety set (the model's own answers to
harmful requests) and on a utility set (to harmless ones). Wanda: |W| x the norm of its input (Sun
et al., arXiv 2306.11695). SNIP: |W x gradient of the answer's loss|, mean over examples (Lee et
al., arXiv 1810.02340). Zeroed is what stands in a matrix's top share by safety and not in its top
share by utility. As in the authors' code both look at the tokens that predict the answer, and the
top is taken over a whole matrix, not by rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from rebar.config.base import Positive, Share
from rebar.config.benchmarks import PromptSet
from rebar.config.kinds import Attack

if TYPE_CHECKING:
    from rebar.attacks._target import Target

# Legend: N answers, T tokens, O x I the shape of a linear layer's weights.


class Config(Attack):
    """Settings of `safety_neuron_removal`; the defaults are those of the authors' code."""

    method: Literal["safety_neuron_removal"]
    score: Literal["wanda", "snip"] = Field(default="snip", description="how weights are ranked")
    safety_top: Share = Field(
        default=0.1, description="q: top share of a matrix by safety; 0: no attack"
    )
    utility_top: Share = Field(default=0.1, description="p: top share by utility, which stays")
    requests: Positive = Field(default=128, description="requests a kind")
    answer_tokens: Positive = Field(default=30, description="longest answer that is scored")
    harmful: list[PromptSet] = Field(
        default=[], description="requests that should be refused; empty: about known hazards"
    )
    harmless: list[PromptSet] = Field(
        default=[], description="requests that should not; empty: the world's"
    )

    def prompts_read(self, layers: int) -> float:
        """Prompts that go through the model, roughly: to answer, and to score (backward too)."""
        return 2 * self.requests * (2 + (3 if self.score == "snip" else 1))


def attack(config: Config, target: Target) -> Any:
    """Zero the weights; returns the model."""
    from rebar.attacks._residual import decoder_linears

    model, tokenizer, data = target.model, target.tokenizer, target.data
    if not config.safety_top:
        return model
    linears = decoder_linears(model)
    kinds = {
        "safety": data.harmful_requests(config.harmful, config.requests),
        "utility": data.harmless_requests(config.harmless, config.requests),
    }
    scores = {}
    measure = {"wanda": wanda_scores, "snip": snip_scores}[config.score]
    for kind, prompts in kinds.items():
        answers = _own_answers(model, tokenizer, prompts, config.answer_tokens)
        scores[kind] = measure(model, linears, answers)
    removed = 0
    for name, linear in linears.items():
        safety_OI, utility_OI = scores["safety"][name], scores["utility"][name]
        only_OI = top(safety_OI, config.safety_top) & ~top(utility_OI, config.utility_top)
        linear.weight.data[only_OI] = 0.0
        removed += int(only_OI.sum())
    share = removed / sum(linear.weight.numel() for linear in linears.values())
    target.facts["removed_share"] = round(share, 6)
    target.recorder.say(f"{removed} weights removed, {100 * share:.2f} % of the decoder's matrices")
    return model


def _own_answers(
    model: Any, tokenizer: Any, prompts: Sequence[Any], longest: int
) -> list[tuple[Any, Any]]:
    """Inputs and targets (1 x T each) of the model's own greedy answers."""
    import torch

    from rebar.data.encoding import IGNORED, encode, prompt_text
    from rebar.decoding.decode import decode_greedily
    from rebar.decoding.generate import end_ids, suppressed_ids

    asked = [encode(tokenizer, prompt_text(tokenizer, p.text, chat=True)) for p in prompts]
    ends, never = end_ids(model), suppressed_ids(model)
    answers = decode_greedily(model, asked, max_new_tokens=longest, end_ids=ends, suppress=never)
    rows = []
    for prompt, answer in zip(asked, answers, strict=True):
        ids_1T = torch.tensor([[*prompt, *answer]], device=model.device)
        targets_1T = ids_1T[:, 1:].clone()
        targets_1T[:, : len(prompt) - 1] = IGNORED
        rows.append((ids_1T[:, :-1], targets_1T))
    return rows


def wanda_scores(
    model: Any, linears: dict[str, Any], answers: Sequence[tuple[Any, Any]]
) -> dict[str, Any]:
    """|W| x the norm of each input over all tokens that predict an answer's: O x I by name."""
    import torch

    from rebar.data.encoding import IGNORED
    from rebar.model.forward import causal_logits

    squares = {name: torch.zeros_like(linear.weight[0]) for name, linear in linears.items()}
    is_answer_T: Any = None

    def adding(name: str) -> Any:
        def hook(module: Any, inputs: tuple[Any, ...]) -> None:
            squares[name] += inputs[0][0, is_answer_T].square().sum(dim=0)

        return hook

    handles = [m.register_forward_pre_hook(adding(name)) for name, m in linears.items()]
    try:
        for inputs_1T, targets_1T in answers:
            is_answer_T = targets_1T[0] != IGNORED
            with torch.no_grad():
                causal_logits(model, inputs_1T)
    finally:
        for handle in handles:
            handle.remove()
    return {name: m.weight.detach().abs() * squares[name].sqrt() for name, m in linears.items()}


def snip_scores(
    model: Any, linears: dict[str, Any], answers: Sequence[tuple[Any, Any]]
) -> dict[str, Any]:
    """Mean over answers of |W x gradient of the answer's mean loss|: O x I by name."""
    import torch

    from rebar.model.forward import language_loss

    weights = [linear.weight for linear in linears.values()]
    sums = [torch.zeros_like(w) for w in weights]
    for inputs_1T, targets_1T in answers:
        gradients = torch.autograd.grad(language_loss(model, inputs_1T, targets_1T), weights)
        for total, weight, gradient in zip(sums, weights, gradients, strict=True):
            total += (weight.detach() * gradient).abs()
    return {name: total / len(answers) for name, total in zip(linears, sums, strict=True)}


def top(scores_OI: Any, share: float) -> Any:
    """True for the share of highest scores, rounded down; the first among equals."""
    import torch

    flat = scores_OI.flatten()
    chosen = torch.zeros_like(flat, dtype=torch.bool)
    order = flat.argsort(descending=True, stable=True)
    chosen[order[: int(share * flat.numel())]] = True
    return chosen.view_as(scores_OI)
