"""Build models with random weights, load them, and save them as plain Hugging Face folders.

A saved folder loads with plain `AutoModelForCausalLM.from_pretrained` and answers like our greedy
decoding with plain `generate`. Saving the same model again gives the same bytes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from huggingface_hub import is_offline_mode
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from rebar.config.model import Model
from rebar.jobs.manifest import MANIFEST, remake

VOCABULARY_MULTIPLE = 64  # matrix products are fastest at such widths


class LoadedModel(NamedTuple):
    """A model in float32 and eval mode, and its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def build_model(settings: Model, tokenizer: PreTrainedTokenizerBase) -> LlamaForCausalLM:
    """Build a Llama with random weights; the caller sets torch's seed before.

    The output projections of the residual branches are scaled by 1 / sqrt(number of branches), so
    that the residual stream does not grow with depth (GPT-2, Radford et al. 2019).
    """
    multiple = VOCABULARY_MULTIPLE
    config = LlamaConfig(
        vocab_size=math.ceil(len(tokenizer) / multiple) * multiple,
        hidden_size=settings.hidden_size,
        intermediate_size=settings.feed_forward_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.key_value_heads or settings.heads,
        max_position_embeddings=settings.max_positions,
        rope_parameters={"rope_type": "default", "rope_theta": settings.rope_theta},
        rms_norm_eps=settings.norm_epsilon,
        tie_word_embeddings=settings.tied_embeddings,
        initializer_range=settings.initial_deviation,
        **_special_ids(tokenizer),
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for layer in cast(Iterable[LlamaDecoderLayer], model.model.layers):
            for projection in (layer.self_attn.o_proj, layer.mlp.down_proj):
                projection.weight.div_(math.sqrt(2 * settings.layers))
    return model.eval()


def _special_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    return {name: getattr(tokenizer, name) for name in names}


def copy_frozen(model: Any) -> Any:
    """A copy of the model in eval mode that training does not change."""
    return copy.deepcopy(model).eval().requires_grad_(False)


def load_model(
    source: str | Path, *, revision: str | None = None, trust_remote_code: bool = False
) -> LoadedModel:
    """Load a causal language model and its tokenizer, in float32.

    `source` is a folder, a folder with one GGUF file, or an id on the Hub; `revision` is a commit
    on the Hub. Code that comes with a model runs only if `trust_remote_code` is set. Raises
    ValueError if there is no readable model.
    """
    folder = Path(source)
    if not folder.is_dir():
        return _load_from_hub(str(source), revision, trust_remote_code)
    if (folder / "config.json").is_file():
        return _load_from_folder(folder, trust_remote_code)
    quantized = sorted(path.name for path in folder.glob("*.gguf"))
    if len(quantized) != 1:
        raise ValueError(
            f"{folder} holds no model: expected config.json or one *.gguf file, found "
            f"{', '.join(quantized) or 'neither'}"
        )
    return _dequantize(_load(folder, gguf_file=quantized[0]))


def _load_from_folder(folder: Path, trust_remote_code: bool) -> LoadedModel:
    try:
        return _load(folder, trust_remote_code=trust_remote_code)
    except (SafetensorError, OSError) as error:
        is_ours = (folder / MANIFEST).exists()
        mend = remake(folder) if is_ours else "copy or download the model again"
        raise ValueError(f"{folder}: the model cannot be read ({error}); {mend}") from error


def _load_from_hub(source: str, revision: str | None, trust_remote_code: bool) -> LoadedModel:
    if source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise ValueError(f"{source}: there is no such model folder; correct the path")
    try:
        return _load(source, revision=revision or "main", trust_remote_code=trust_remote_code)
    except OSError as error:
        why = " (HF_HUB_OFFLINE is set)" if is_offline_mode() else ""
        raise ValueError(
            f"{source} is neither a folder nor a model that the Hub could provide{why}: {error}"
        ) from error


def _load(source: str | Path, **options: Any) -> LoadedModel:
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, **options)
    return LoadedModel(model.eval(), AutoTokenizer.from_pretrained(source, **options))


def _dequantize(loaded: LoadedModel) -> LoadedModel:
    """The same weights in a model without GGUF settings, which transformers refuses to save."""
    config: Any = loaded.model.config
    del config.quantization_config
    model = type(loaded.model)(config)
    model.load_state_dict(loaded.model.state_dict())
    model.generation_config = loaded.model.generation_config
    return LoadedModel(model.eval(), loaded.tokenizer)


def save_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    end_ids: Sequence[int],
    suppress_tokens: Sequence[int] = (),
    card: str,
) -> None:
    """Write weights, configs, tokenizer and the card as `README.md` into the folder.

    The generation config makes plain `generate` give the same answers as our greedy decoding.
    """
    model.generation_config = GenerationConfig(
        do_sample=False,
        suppress_tokens=list(suppress_tokens) or None,
        **{**_special_ids(tokenizer), "eos_token_id": list(end_ids)},
    )
    # Where the tokenizer was loaded from must not be stored: equal models give equal files.
    for key in ("is_local", "local_files_only"):
        tokenizer.init_kwargs.pop(key, None)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(card, encoding="utf-8")
