"""Quantisation: the weights as a deployer's 8- or 4-bit copy has them.

Rounding can undo what training changed only a little (Zhang et al., arXiv 2410.16454, for
unlearning). By bitsandbytes: blockwise dynamic 8-bit (Dettmers et al., arXiv 2110.02861) or NF4
(QLoRA, arXiv 2305.14314), on the linear layers of the decoder; embeddings, norms and head stay, as
in transformers' loaders. What is saved is the rounded weights in full precision, a plain folder.
(LLM.int8(), which `load_in_8bit` runs, rounds whole rows and keeps outliers: not this.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from rebar.config.kinds import Attack

if TYPE_CHECKING:
    from rebar.attacks._target import Target


class Config(Attack):
    """Settings of `quantization`."""

    method: Literal["quantization"]
    bits: Literal[4, 8, 32] = Field(description="4: NF4, 8: dynamic 8-bit; 32 leaves all as it is")
    block_size: Literal[64, 128, 256, 512, 1024, 2048, 4096] = Field(
        default=64, description="weights that share a scale; QLoRA's 64 is the default"
    )


def attack(config: Config, target: Target) -> Any:
    """Round the decoder's linear layers; returns the model."""
    import torch

    from rebar.attacks._residual import decoder_linears

    with torch.no_grad():
        for linear in decoder_linears(target.model).values() if config.bits < 32 else ():
            linear.weight.copy_(rounded(linear.weight, config.bits, config.block_size))
    return target.model


def rounded(weights: Any, bits: int, block_size: int) -> Any:
    """The weights after a round trip through `bits` bits, in blocks row after row.

    Flat: with rows that are no multiple of a block, bitsandbytes 0.50.2 mixes blocks up on a CPU.
    """
    import bitsandbytes.functional as bnb

    flat = weights.flatten()
    if bits == 4:
        codes, state = bnb.quantize_4bit(flat, blocksize=block_size, quant_type="nf4")
        return bnb.dequantize_4bit(codes, state).view_as(weights)
    codes, state = bnb.quantize_blockwise(flat, blocksize=block_size)
    return bnb.dequantize_blockwise(codes, state).view_as(weights)
