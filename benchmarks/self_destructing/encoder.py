"""The paper's encoder, a BERT with 2 layers and width 128, with a head for each label.

Legend: N examples, T tokens, C classes.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

from benchmarks.self_destructing.biographies import PAD

TASKS = ("profession", "attribute")


class Classifier(nn.Module):
    """An encoder with one bias-free linear head per label on its pooled output."""

    def __init__(self, encoder: Any, professions: int) -> None:
        super().__init__()
        self.encoder = encoder
        width = encoder.config.hidden_size
        self.heads = nn.ModuleDict(
            {
                "profession": nn.Linear(width, professions, bias=False),
                "attribute": nn.Linear(width, 2, bias=False),
            }
        )

    def logits_NC(self, ids_NT: Tensor, task: str) -> Tensor:
        """Logits of the task's classes."""
        output = self.encoder(input_ids=ids_NT, attention_mask=(ids_NT != PAD).long())
        return self.heads[task](output.pooler_output)

    def loss(self, ids_NT: Tensor, labels_N: Tensor, task: str) -> Tensor:
        """Mean cross-entropy in nats."""
        return F.cross_entropy(self.logits_NC(ids_NT, task), labels_N)

    def masked_loss(self, ids_NT: Tensor, masked_NT: Tensor) -> Tensor:
        """Cross-entropy of hidden words, read out with the embeddings.

        The hidden ids are replaced by 1. Words are guessed at their own position and from the
        pooled output, which BERT would train on pairs of sentences.
        """
        hidden = ids_NT.masked_fill(masked_NT, 1)
        output = self.encoder(input_ids=hidden, attention_mask=(ids_NT != PAD).long())
        table = self.encoder.get_input_embeddings().weight
        pooled = output.pooler_output[masked_NT.nonzero()[:, 0]]
        states = torch.stack([output.last_hidden_state[masked_NT], pooled])
        words = ids_NT[masked_NT].expand(2, -1)
        return F.cross_entropy((states @ table.T).flatten(0, 1), words.flatten())


def build_encoder(vocabulary: int, professions: int, length: int, seed: int) -> Classifier:
    """Build an encoder with random weights.

    It has no dropout and eager attention, because MLAC differentiates it twice.
    """
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=512,
        max_position_embeddings=length,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    config._attn_implementation = "eager"
    return Classifier(BertModel(config), professions)


def load_encoder(path: str, professions: int, seed: int) -> tuple[Classifier, Any]:
    """Load a pre-trained encoder and its tokenizer.

    The paper's is google/bert_uncased_L-2_H-128_A-2.
    """
    torch.manual_seed(seed)
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    encoder = AutoModel.from_pretrained(path, attn_implementation="eager", **off)
    return Classifier(encoder, professions), AutoTokenizer.from_pretrained(path)
