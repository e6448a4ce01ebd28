"""Token search for training examples that a guard calls safe and that teach what harmful ones do.

Huang et al. 2025 (Virus, arXiv 2501.17433): an example is a harmless pair with a harmful text after
its answer; tokens of that text are swapped, one at a time, as in GCG (Zou et al. 2023). Both goals
are weighed: (1 - weight) x similarity of the gradient to the harmful one, weight x the guard's log
probability of `safe`. Ours: half of the swaps tried are of the tokens that the gradient of the
similarity ranks first, half are random, so that a guard of any kind and tokenizer can steer; a swap
is kept when it is better.

Shapes: T tokens, R tokens of the harmful text, V vocabulary, P weights.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from rebar.attacks._similarity import answer_gradient
from rebar.attacks.virus.moderation import Moderator
from rebar.data.chats import Chat
from rebar.data.encoding import IGNORED, encode, prompt_text
from rebar.training.checkpoints import trained_parameters

SMALLEST = 1e-12  # of a guard's probability, so that its logarithm is finite


@dataclass(frozen=True)
class TokenSearch:
    """Settings of the token search."""

    epochs: int  # swaps, at most
    candidates: int  # swaps tried for each
    top_tokens: int  # of the similarity's gradient at each place
    guard_weight: float
    length: int  # tokens of a training row


@dataclass(frozen=True)
class Example:
    """A harmless pair, with the text after its answer that is optimised."""

    benign: Chat
    text: str

    @property
    def chat(self) -> Chat:
        """The chat that the model is fine-tuned on."""
        return Chat(self.benign.prompt, f"{self.benign.answer} {self.text}")


def optimise(
    model: Any,
    tokenizer: Any,
    benign: Chat,
    harmful: Chat,
    moderator: Moderator,
    search: TokenSearch,
    rng: random.Random,
) -> Chat:
    """Append a harmful text to the benign chat and optimise its tokens for both goals."""
    target_P = answer_gradient(model, tokenizer, [harmful], search.length)
    example = Example(benign, f"{harmful.prompt} {harmful.answer}")

    def score(candidate: Example) -> float:
        return _score(model, tokenizer, candidate.chat, target_P, moderator, search)

    best = score(example) if search.epochs else 0.0
    for _ in range(search.epochs):
        for candidate in _swaps(model, tokenizer, example, target_P, search, rng):
            if (found := score(candidate)) > best:
                example, best = candidate, found
    return example.chat


def _score(
    model: Any,
    tokenizer: Any,
    chat: Chat,
    target_P: Tensor,
    moderator: Moderator,
    search: TokenSearch,
) -> float:
    """Weighted sum of both goals; higher is better for the attacker."""
    gradient_P = answer_gradient(model, tokenizer, [chat], search.length)
    alike = float(gradient_P @ target_P / gradient_P.norm())
    safe = math.log(max(moderator([chat])[0], SMALLEST))
    return (1 - search.guard_weight) * alike + search.guard_weight * safe


def _swaps(
    model: Any,
    tokenizer: Any,
    example: Example,
    target_P: Tensor,
    search: TokenSearch,
    rng: random.Random,
) -> list[Example]:
    """Examples with one swapped token whose text is encoded as exactly these tokens."""
    ids_R = encode(tokenizer, f" {example.text}")
    slopes_RV = similarity_slopes_RV(model, tokenizer, example, target_P, search.length)
    allowed = sorted(set(range(len(tokenizer))) - set(tokenizer.all_special_ids))
    best_Rk = slopes_RV[:, allowed].topk(min(search.top_tokens, len(allowed)), dim=1).indices
    found = []
    for number in range(search.candidates):
        place = rng.randrange(len(ids_R))
        ranked = best_Rk[place].tolist() if number % 2 == 0 else range(len(allowed))
        swapped = [*ids_R]
        swapped[place] = allowed[rng.choice(ranked)]
        text = tokenizer.decode(swapped).strip()
        if encode(tokenizer, f" {text}") == swapped:
            found.append(Example(example.benign, text))
    return found


def similarity_slopes_RV(
    model: Any, tokenizer: Any, example: Example, target_P: Tensor, length: int
) -> Tensor:
    """First-order change of the similarity for each token at each place of the text, [R, V].

    The tokens count as inputs only; what they change as targets is seen when a swap is tried.
    """
    benign = example.benign
    asked = encode(tokenizer, prompt_text(tokenizer, benign.prompt or "", chat=True))
    before = [*asked, *encode(tokenizer, benign.answer)]
    ids_R = encode(tokenizer, f" {example.text}")
    device = target_P.device
    ids_T = torch.tensor([*before, *ids_R, tokenizer.eos_token_id], device=device)
    targets_T = ids_T[1 : length + 1].clone()
    targets_T[: len(asked) - 1] = IGNORED
    table_VD = model.get_input_embeddings().weight
    chosen_RV = F.one_hot(torch.tensor(ids_R, device=device), len(table_VD)).to(table_VD.dtype)
    chosen_RV.requires_grad_()
    embedded_TD = torch.cat([table_VD[ids_T[: len(before)]], chosen_RV @ table_VD])
    parameters = list(trained_parameters(model).values())
    with sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative
        output = model(inputs_embeds=embedded_TD[None, :length], use_cache=False)
        loss = F.cross_entropy(output.logits[0].float(), targets_T, ignore_index=IGNORED)
        gradients = torch.autograd.grad(loss, parameters, create_graph=True)
        gradient_P = torch.cat([gradient.flatten() for gradient in gradients])
        alike = gradient_P @ target_P / gradient_P.norm()
        return torch.autograd.grad(alike, chosen_RV)[0]
