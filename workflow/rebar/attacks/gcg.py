"""GCG (Zou et al., arXiv 2307.15043): a suffix that makes the model agree, found by its gradient.

One suffix for several requests at once: the loss is the mean over them of the mean negative
log-likelihood of an agreeing opening. A step draws candidates that differ from the suffix in one
token, among those whose gradient promises most, and takes the best. Ours: the suffix stays where no
candidate is better (the published code always moves), so that the loss never rises; all requests
from the start (published: one after the other); candidates must survive decoding and encoding
inside the prompt, because what is evaluated is text. The weights stay as they are.

Legend: R requests, S suffix tokens, C candidates, N rows, T tokens, V vocabulary, D width.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from rebar.config.base import Count, Positive
from rebar.config.benchmarks import PromptSet
from rebar.config.kinds import InputAttack

if TYPE_CHECKING:
    from rebar.attacks._target import Target
    from rebar.data.input_attack import InputWords

STATE = "gcg.safetensors"


class Config(InputAttack):
    """Settings of `gcg`; steps, candidates, top_k and tokens are the published numbers."""

    method: Literal["gcg"]
    steps: Count = Field(default=500, description="steps; 0: the initial suffix, as a control")
    candidates: Positive = Field(default=512, description="suffixes tried in a step")
    top_k: Positive = Field(default=256, description="tokens of a place that are drawn from")
    tokens: Count = Field(default=20, description="length of the suffix; 0: no attack")
    requests: Positive = Field(
        default=25, description="requests that share the suffix; as in the paper"
    )
    files: list[PromptSet] = Field(
        default=[], description="requests; empty: the world's, about known hazards"
    )
    target: str | None = Field(
        default=None, description="what answers should begin with; none: the world's `sure .`"
    )
    initial: str | None = Field(
        default=None, description="a token that the suffix starts as; none: `!` (the world: `.`)"
    )
    batch_size: Positive = Field(default=64, description="prompts in memory at once")

    def prompts_read(self, layers: int) -> float:
        """Prompts that go through the model, roughly; a gradient is three."""
        return self.steps * self.requests * (self.candidates + 3)


class Rows(NamedTuple):
    """The requests as token rows: padded on the left, the suffix at one place in all."""

    texts: list[str]
    around: list[tuple[list[int], list[int]]]  # ids before and after the suffix, for each text
    ids_RT: Any
    mask_RT: Any
    start: int  # of the suffix
    end: int
    target_T: Any


def words(config: Config, target: Target) -> InputWords:
    """The suffix that was found, or none if its length is 0."""
    from rebar.data.input_attack import InputWords

    return InputWords(suffix=search(config, target) if config.tokens else "")


def search(config: Config, target: Target) -> str:
    """Find the suffix, as text. An interrupted search continues and ends with the same bits."""
    import torch

    from rebar.jobs import checkpoint_signal

    model, tokenizer, data = target.model, target.tokenizer, target.data
    texts = [p.text for p in data.harmful_requests(config.files, config.requests)]
    start_S = initial_suffix(config, tokenizer, texts[0])
    rows = build_rows(tokenizer, texts, start_S, data.agreement(config.target))
    allowed_V = allowed_tokens(tokenizer, model)
    state = _State(config, target, rows)
    step, suffix_S = state.load(start_S.to(model.device))
    with checkpoint_signal.note_signal():
        while step < config.steps:
            generator = torch.Generator().manual_seed(1_000_003 * data.seed + step)
            suffix_S, loss = improve(config, model, tokenizer, rows, suffix_S, allowed_V, generator)
            step += 1
            target.recorder.log(step, loss=loss)
            target.recorder.progress(step, config.steps, "steps")
            state.save(step, suffix_S)
            if checkpoint_signal.has_come() and step < config.steps:
                target.recorder.say(f"told to stop: saved step {step} of {config.steps}")
                sys.exit(checkpoint_signal.STATUS)
    return as_text(tokenizer, suffix_S)


def initial_suffix(config: Config, tokenizer: Any, text: str) -> Any:
    """One token, repeated, as it is encoded after a request; ValueError for other words."""
    import torch

    from rebar.data.encoding import ids_after_request

    word = config.initial or ("!" if config.files else ".")
    after = len(ids_after_request(tokenizer))
    start = len(_asked(tokenizer, text, "")) - after
    asked = _asked(tokenizer, text, " ".join([word] * config.tokens))
    ids = asked[start : len(asked) - after]
    if len(ids) != config.tokens or tokenizer.unk_token_id in ids:
        raise ValueError(f"gcg.initial: {_WORD.format(word)}")
    return torch.tensor(ids)


_WORD = "'{}' is not one token of this model wherever it stands; give another short word"


def as_text(tokenizer: Any, suffix_S: Any) -> str:
    """The suffix as it is put after a request and a space, which its first token may hold."""
    return tokenizer.decode(suffix_S.tolist()).removeprefix(" ")


def allowed_tokens(tokenizer: Any, model: Any) -> Any:
    """True for tokens of printable ASCII text that are not special, as in Zou et al."""
    import torch

    special = set(tokenizer.all_special_ids)
    allowed_V = torch.zeros(model.get_input_embeddings().num_embeddings, dtype=torch.bool)
    for token in range(len(tokenizer)):
        text = tokenizer.decode([token])
        is_text = text.isascii() and text.isprintable() and bool(text.strip())
        allowed_V[token] = is_text and token not in special
    return allowed_V.to(model.device)


def _asked(tokenizer: Any, text: str, suffix: str) -> list[int]:
    """Token ids of a request with the suffix, as evaluations ask it."""
    from rebar.data.encoding import encode
    from rebar.data.input_attack import InputWords, attacked_text

    return encode(tokenizer, attacked_text(tokenizer, text, InputWords(suffix=suffix), chat=True))


def survives(tokenizer: Any, rows: Rows, suffix_S: Any) -> bool:
    """True if the decoded suffix is encoded as the same tokens after every request."""
    ids, suffix = suffix_S.tolist(), as_text(tokenizer, suffix_S)
    return all(
        _asked(tokenizer, text, suffix) == [*before, *ids, *after]
        for text, (before, after) in zip(rows.texts, rows.around, strict=True)
    )


def build_rows(tokenizer: Any, texts: list[str], suffix_S: Any, target: str) -> Rows:
    """Left-padded rows of request, suffix, template and target.

    ValueError if the suffix is not encoded as itself.
    """
    import torch

    from rebar.data.encoding import encode, ids_after_request

    wanted, after = encode(tokenizer, target), ids_after_request(tokenizer)
    suffix = as_text(tokenizer, suffix_S)
    asked = [_asked(tokenizer, text, suffix) for text in texts]
    befores = [ids[: len(ids) - len(after) - len(suffix_S)] for ids in asked]
    length = max(map(len, asked)) + len(wanted)
    pads = [length - len(ids) - len(wanted) for ids in asked]
    rows = Rows(
        texts,
        [(before, after) for before in befores],
        torch.tensor([[0] * n + ids + wanted for n, ids in zip(pads, asked, strict=True)]),
        torch.tensor([[0] * n + [1] * (length - n) for n in pads]),
        length - len(wanted) - len(after) - len(suffix_S),
        length - len(wanted) - len(after),
        torch.tensor(wanted),
    )
    if not survives(tokenizer, rows, suffix_S):
        raise ValueError(f"gcg.initial: {_WORD.format(suffix)}")
    return rows


def improve(
    config: Config,
    model: Any,
    tokenizer: Any,
    rows: Rows,
    suffix_S: Any,
    allowed_V: Any,
    generator: Any,
) -> tuple[Any, float]:
    """One step: the best of the suffix and its candidates, and its loss."""
    import torch

    gradient_SV = suffix_gradient(model, rows, suffix_S)
    drawn_CS = draw(config, gradient_SV, suffix_S, allowed_V, generator)
    tried = [c_S for c_S in drawn_CS if survives(tokenizer, rows, c_S)]
    tried_CS = torch.stack([suffix_S, *tried])
    losses_C = suffix_losses(model, rows, tried_CS, config.batch_size)
    best = int(losses_C.argmin())  # the first of equals: the suffix itself
    return tried_CS[best], float(losses_C[best])


def suffix_gradient(model: Any, rows: Rows, suffix_S: Any) -> Any:
    """Gradient of the loss by the one-hot tokens of the suffix: S x V."""
    import torch

    embeddings_VD = model.get_input_embeddings().weight.detach()
    total_SD = torch.zeros(len(suffix_S), embeddings_VD.shape[1], device=model.device)
    for request in range(len(rows.ids_RT)):
        ids_1T, mask_1T = _filled(rows, suffix_S[None], [request])
        inputs_1TD = embeddings_VD[ids_1T].requires_grad_()
        loss_1 = _losses(model, rows, inputs_1TD, mask_1T)
        (gradient_1TD,) = torch.autograd.grad(loss_1.sum() / len(rows.ids_RT), inputs_1TD)
        total_SD += gradient_1TD[0, rows.start : rows.end]
    return total_SD @ embeddings_VD.T


def draw(config: Config, gradient_SV: Any, suffix_S: Any, allowed_V: Any, generator: Any) -> Any:
    """Draw candidates C x S: at a random place, one of the `top_k` tokens of steepest descent."""
    import torch

    steep_SV = gradient_SV.masked_fill(~allowed_V, float("inf"))
    count = min(config.top_k, int(allowed_V.sum()))
    top_SK = (-steep_SV).topk(count, dim=1).indices
    places_C = torch.randint(len(suffix_S), (config.candidates,), generator=generator)
    ranks_C = torch.randint(count, (config.candidates,), generator=generator)
    drawn_CS = suffix_S.repeat(config.candidates, 1)
    drawn_CS[torch.arange(config.candidates), places_C] = top_SK[places_C, ranks_C]
    return drawn_CS


def suffix_losses(model: Any, rows: Rows, suffixes_CS: Any, batch_size: int) -> Any:
    """Mean loss over the requests with each suffix: C."""
    import torch

    num_requests = len(rows.ids_RT)
    pairs = [(c, r) for c in range(len(suffixes_CS)) for r in range(num_requests)]
    losses = []
    embed = model.get_input_embeddings()
    with torch.no_grad():
        for start in range(0, len(pairs), batch_size):
            numbers, requests = zip(*pairs[start : start + batch_size], strict=True)
            ids_NT, mask_NT = _filled(rows, suffixes_CS[list(numbers)], list(requests))
            losses.append(_losses(model, rows, embed(ids_NT), mask_NT))
    return torch.cat(losses).view(len(suffixes_CS), num_requests).mean(dim=1)


def _filled(rows: Rows, suffixes_NS: Any, requests: list[int]) -> tuple[Any, Any]:
    """Rows of these requests with these suffixes in them, and their masks."""
    ids_NT = rows.ids_RT[requests].to(suffixes_NS.device)
    ids_NT[:, rows.start : rows.end] = suffixes_NS
    return ids_NT, rows.mask_RT[requests].to(suffixes_NS.device)


def _losses(model: Any, rows: Rows, inputs_NTD: Any, mask_NT: Any) -> Any:
    """Mean negative log-likelihood of the target in each row, nats."""
    target_T = rows.target_T.to(mask_NT.device)
    logits_NTV = model(
        inputs_embeds=inputs_NTD,
        attention_mask=mask_NT,
        position_ids=(mask_NT.cumsum(dim=1) - 1).clamp(min=0),
        use_cache=False,
        logits_to_keep=len(target_T) + 1,
    ).logits
    chances_NTV = logits_NTV[:, :-1].float().log_softmax(dim=2)
    index_NT1 = target_T.expand(len(mask_NT), -1)[..., None]
    return -chances_NTV.gather(2, index_NT1)[..., 0].mean(dim=1)


class _State:
    """The suffix after each step, on the disk; a state of another run is ignored."""

    def __init__(self, config: Config, target: Target, rows: Rows) -> None:
        from rebar.training.checkpoints import fingerprint

        self.recorder, self.path = target.recorder, target.checkpoints / STATE
        parts = (config.model_dump_json(), target.identity, rows.ids_RT)
        self.run = fingerprint(target.model, *parts)

    def load(self, start_S: Any) -> tuple[int, Any]:
        """Finished steps and the suffix after them; 0 and the start if there is no state."""
        from safetensors import safe_open

        step, suffix_S = 0, start_S
        if self.path.exists():
            with safe_open(self.path, framework="pt") as content:
                facts = content.metadata()
                if facts["run"] == self.run:
                    step, suffix_S = int(facts["step"]), content.get_tensor("suffix").to(start_S)
        self.recorder.truncate(step)
        if step:
            self.recorder.say(f"resumed at step {step}")
        return step, suffix_S

    def save(self, step: int, suffix_S: Any) -> None:
        from safetensors.torch import save_file

        temporary, facts = self.path.with_suffix(".unfinished"), {"run": self.run}
        tensors = {"suffix": suffix_S.cpu().contiguous()}
        save_file(tensors, temporary, metadata=facts | {"step": str(step)})
        os.replace(temporary, self.path)
