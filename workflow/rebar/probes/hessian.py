"""Curvature: largest eigenvalues and trace of the Hessian of each loss, and along attacks.

Eigenvalues by Lanczos and traces by Hutchinson's estimator, both of hessian-eigenthings. What
matters for an adversary is the curvature of the harmful loss along the attack's own direction.
`relative_` values are of the Hessian in units of each weight (|w| H |w|): rescaling layers without
changing the function changes the plain ones and not these (Dinh et al. 2017, arXiv 1703.04933).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from rebar.config.base import Count, Positive
from rebar.config.kinds import Probe
from rebar.config.model import ProbeTexts

if TYPE_CHECKING:
    from torch import Tensor

    from rebar.probes._data import Loss, ProbeData, Row


class Config(Probe):
    """Settings of `hessian`."""

    method: Literal["hessian"]
    attacks: list[str] = Field(default=[], description="attacks to take the curvature along")
    eigenvalues: Count = Field(default=3, description="largest ones to find; 0: none")
    lanczos_steps: Positive = Field(default=50, description="products with the Hessian for them")
    trace_samples: Count = Field(
        default=100, description="random vectors of the trace, PyHessian's number; 0: no trace"
    )
    parameters: list[str] = Field(
        default=["*"],
        min_length=1,
        description="patterns of parameter names for eigenvalues and trace: of a large model a "
        "part, since the search keeps a vector of them for each of its steps",
    )
    texts: ProbeTexts = Field(default=ProbeTexts(), description="what the losses are taken over")

    @property
    def looks_along(self) -> list[str]:
        """`attacks`."""
        return self.attacks

    @property
    def forwarded_tokens(self) -> float:
        """A product with the Hessian costs seven forward passes; both plain and relative."""
        products = 2 * (self.lanczos_steps * bool(self.eigenvalues) + self.trace_samples)
        return 3 * self.texts.tokens * 7 * (products + len(self.attacks))

    @property
    def weight_copies(self) -> int:
        """The vectors of Lanczos, and a matrix made of them."""
        return 2 * self.lanczos_steps if self.eigenvalues else 5


def probe(config: Config, model: Any, tokenizer: Any, data: ProbeData) -> list[Row]:
    """`eigenvalue_1`, ... (largest first) with `_residual`, `trace` with `_error`, `curvature`.

    `curvature` is u'Hu for the unit vector u along the attack, `relative_curvature` d'Hd for the
    whole step d: twice the loss that the bend alone adds on the way to the attacked model.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    rows: list[Row] = []
    with sdpa_kernel(SDPBackend.MATH):  # fused kernels have no second derivative
        for name, loss in data.losses(config.texts, tokenizer).items():
            rows += _spectrum(config, model, name, loss, data)
            for attack in config.attacks:
                rows += _along(model, name, loss, attack, data)
    return rows


def _spectrum(config: Config, model: Any, name: str, loss: Loss, data: ProbeData) -> Iterator[Row]:
    import torch
    from hessian_eigenthings.algorithms import hutchinson, lanczos
    from hessian_eigenthings.operators import HessianOperator
    from hessian_eigenthings.operators.base import LambdaOperator
    from hessian_eigenthings.param_utils import match_names

    from rebar.probes._data import Row

    chosen = match_names(*config.parameters)
    parts = [p for n, p in model.named_parameters() if chosen(n, p)]
    if not parts:
        named = ", ".join(f"'{pattern}'" for pattern in config.parameters)
        raise ValueError(f"hessian.parameters: no parameter is named like {named}")
    size_P = torch.cat([p.detach().abs().flatten() for p in parts])
    of_loss = HessianOperator(model, [()], lambda m, _: loss(m), param_filter=chosen)

    def operator_in(unit_P: Tensor | float) -> LambdaOperator:
        """The Hessian in these units; vectors lie on the CPU, where the random ones are drawn."""
        return LambdaOperator(
            lambda v: (unit_P * of_loss.matvec(unit_P * v.to(size_P.device))).cpu(),
            of_loss.size,
            dtype=of_loss.dtype,
        )

    seed = data.rng("hessian").getrandbits(63)
    for prefix, unit_P in (("", 1.0), ("relative_", size_P)):
        operator = operator_in(unit_P)
        if config.eigenvalues:
            steps = min(config.lanczos_steps, operator.size)
            count = min(config.eigenvalues, steps)
            found = lanczos(
                operator, k=count, max_iter=steps, which="LA", seed=seed, reorthogonalize=True
            )
            pairs = zip(found.eigenvalues.tolist(), found.residuals.tolist(), strict=True)
            for rank, (value, residual) in enumerate(pairs, start=1):
                yield Row(f"{prefix}eigenvalue_{rank}", value, name)
                yield Row(f"{prefix}eigenvalue_{rank}_residual", residual, name)
        if config.trace_samples:
            estimate = hutchinson(operator, num_samples=config.trace_samples, seed=seed)
            yield Row(f"{prefix}trace", estimate.estimate, name)
            yield Row(f"{prefix}trace_error", estimate.stderr, name)


def _along(model: Any, name: str, loss: Loss, attack: str, data: ProbeData) -> Iterator[Row]:
    from rebar.probes import _weights
    from rebar.probes._data import Row

    start = {n: p.detach() for n, p in model.named_parameters()}
    step = _weights.difference(start, data.attacked_weights(attack, model))
    whole, length = quadratic_form(model, loss, step), _weights.norm(step)
    where = name, f"attack:{attack}"
    yield Row("curvature", whole / length**2 if length else 0.0, *where)
    yield Row("relative_curvature", whole, *where)


def quadratic_form(model: Any, loss: Loss, direction: Any) -> float:
    """The form d'Hd of the loss at the model's weights, by differentiating twice along d."""
    from rebar.probes._weights import dot, gradient

    slopes = gradient(model, loss(model), create_graph=True)
    bends = gradient(model, dot(slopes, direction))
    return float(dot(bends, direction))
