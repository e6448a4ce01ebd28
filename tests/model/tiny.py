"""Small models and data for the engine's tests."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rebar.config.model import Training
from rebar.jobs.recorder import Recorder

TEMPLATE = "{{ bos_token }} {{ messages[0]['content'] }}"


def tiny_llama(
    seed: int = 0, *, vocabulary: int = 24, heads: int = 4, key_value_heads: int = 2, deviation=0.3
) -> LlamaForCausalLM:
    """Weights are large, so that distributions are peaked and sequences differ."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=key_value_heads,
        max_position_embeddings=64,
        initializer_range=deviation,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config).eval()


def tiny_tokenizer(num_words: int = 90) -> PreTrainedTokenizerFast:
    special = ["<pad>", "<bos>", "<end>", "<tag>"]
    words = special + [f"w{number}" for number in range(num_words)]
    model = WordLevel({word: number for number, word in enumerate(words)}, unk_token="<pad>")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<end>",
        additional_special_tokens=["<tag>"],
        chat_template=TEMPLATE,
    )


def settings(**changes) -> Training:
    values = {
        "steps": 12,
        "batch_size": 4,
        "sequence_length": 8,
        "learning_rate": 1e-2,
        "weight_decay": 0.1,
        "compile": False,
        "precision": "float32",
    }
    return Training(**{**values, **changes})


def recorder(folder: Path) -> Recorder:
    return Recorder(folder, "test", io.StringIO())


def rows(num_rows: int = 10, length: int = 8, vocabulary: int = 24, seed: int = 5):
    """Inputs and targets; some targets carry no loss."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, vocabulary, (num_rows, length + 1), generator=generator)
    targets = ids[:, 1:].clone()
    for row in range(num_rows):
        targets[row, : row % length] = -100
    return ids[:, :-1].clone(), targets


def prompts(num_prompts: int, vocabulary: int = 24, seed: int = 1) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    lengths = [3 + number % 5 for number in range(num_prompts)]
    return [torch.randint(4, vocabulary, (n,), generator=generator).tolist() for n in lengths]
