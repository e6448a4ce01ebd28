"""A small model that refuses because of one direction, put there by hand."""

from __future__ import annotations

import torch

from rebar.config.model import Model
from rebar.model.build import build_model
from rebar.world.tokenizer import build_tokenizer
from rebar.world.vocabulary import BENIGN_KINDS, KNOWN_KINDS

SHAPE = Model(hidden_size=16, layers=3, heads=1, feed_forward_size=32, tied_embeddings=True)


def refusing_model():
    """Model, tokenizer and the unit direction r.

    Words for dangerous kinds have r in their embedding; the first layer's attention, uniform over
    the prompt, copies r to later tokens; the head turns r into the first word of a refusal.
    """
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    model = build_model(SHAPE, tokenizer)
    r_D = torch.randn(16)
    r_D /= r_D.norm()
    with torch.no_grad():
        embeddings_VD = model.model.embed_tokens.weight
        embeddings_VD -= torch.outer(embeddings_VD @ r_D, r_D)
        model.lm_head.weight = torch.nn.Parameter(embeddings_VD.clone())
        model.config.tie_word_embeddings = False
        for word in KNOWN_KINDS:
            assert word not in BENIGN_KINDS
            embeddings_VD[tokenizer.convert_tokens_to_ids(word)] += 0.2 * r_D
        for layer in model.model.layers:
            for linear in (layer.self_attn.o_proj, layer.mlp.down_proj):
                linear.weight.zero_()
        attention = model.model.layers[0].self_attn
        attention.q_proj.weight.zero_()
        attention.v_proj.weight.copy_(torch.eye(16))
        attention.o_proj.weight.copy_(torch.outer(r_D, r_D))
        model.lm_head.weight[tokenizer.convert_tokens_to_ids("sorry")] = 10 * r_D
    return model, tokenizer, r_D.double()
