"""Local folders in the place of everything that the paper's configs take from the Hub.

Datasets of a few rows with the columns of the real ones, a tokenizer of some hundred tokens, and a
config cut down to seconds: the same grid, numbers without meaning.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml

from rebar.config.benchmarks import prompt_set
from rebar.config.file import parse_config
from rebar.corpus.rewriting_model import Answer
from rebar.corpus.tokenizers import train_tokenizer
from rebar.grid.hub_access import hub_ids
from tests.corpus.tiny_models import save_encoder, save_writer
from tests.grid_runs import SMALL_PROBES, cut_attack, cut_search

# A word of each level makes it easy to tell, for a classifier on a random encoder too.
LEVEL_WORDS = ("calm", "beer", "politics", "knife", "insult", "poison")
REWRITTEN = "kindly explained with care"
ROWS = 12


def text_of_level(level: int, number: int = 0) -> str:
    return " ".join([LEVEL_WORDS[level], "text"] * 6 + [f"n{number % 10}"])


DOCUMENTS = [text_of_level(i % 6, i) for i in range(120)]
LABELLED = [{"text": t, "safety_score": i % 6} for i, t in enumerate(DOCUMENTS)]
LABELLED += [{"text": f"{REWRITTEN} {n}", "safety_score": 0} for n in range(10)]


def cells(**columns: Any) -> list[dict[str, Any]]:
    """Rows of the same cells, numbered where a cell is a text."""
    return [
        {key: f"{value} {n}" if key not in LABELS else value for key, value in columns.items()}
        for n in range(ROWS)
    ]


LABELS = {
    "prompt_harm_label",
    "response_refusal_label",
    "response_harm_label",
    "data_type",
    "Harmfulness",
    "input",
    "label",
}
TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
WILDGUARD = [
    *cells(
        prompt="p",
        response="no",
        prompt_harm_label="harmful",
        response_refusal_label="refusal",
        response_harm_label="unharmful",
    ),
    *cells(
        prompt="p",
        response="yes",
        prompt_harm_label="harmful",
        response_refusal_label="compliance",
        response_harm_label="harmful",
    ),
]
DATASETS = {
    "HuggingFaceTB/smollm-corpus": [{"text": text} for text in DOCUMENTS],
    "HuggingFaceTB/finemath": [{"text": text} for text in DOCUMENTS[:6]],
    "bigcode/stackoverflow-clean": [{"content": text} for text in DOCUMENTS[:6]],
    "locuslab/safety_data_annotated": LABELLED,
    "HuggingFaceH4/ultrachat_200k": [{"messages": TURNS}] * ROWS,
    "allenai/wildguardmix": WILDGUARD,
    "allenai/wildjailbreak": cells(vanilla="p", completion="no", data_type="vanilla_harmful"),
    "openai/gsm8k": cells(question="how many", answer="many #### 7"),
    "LLM-LAT/harmful-dataset": cells(prompt="p", chosen="no", rejected="yes"),
    "locuslab/jb-completions": cells(completion_behavior="it begins"),
    "walledai/HarmBench": cells(prompt="harm"),
    "walledai/TDC23-RedTeaming": cells(prompt="team"),
    "walledai/AdvBench": cells(prompt="adv"),
    "JailbreakBench/JBB-Behaviors": cells(Goal="goal"),
    "tatsu-lab/alpaca": cells(instruction="do", output="done", input=""),
    "furonghuang-lab/PHTest": cells(Request="may i", Harmfulness="harmless"),
    "walledai/StrongREJECT": cells(prompt="strong"),
    "walledai/MaliciousInstruct": cells(prompt="malicious"),
    "walledai/XSTest": cells(prompt="may i", label="safe"),
    "cais/wmdp": [{"question": "which", "choices": ["a", "b", "c", "d"], "answer": 1}] * ROWS,
}


def cut_down_paper(file: Path, folder: Path) -> dict[str, Any]:
    """The config with stand-ins below `folder` for all ids of the Hub, and sizes of seconds."""
    values = json.loads(json.dumps(yaml.safe_load(file.read_text())))  # anchors become copies
    _without_harness(values)
    for setting in values["evaluations"].values():
        if "prompts" in setting:
            setting["prompts"] = json.loads(json.dumps([*map(prompt_set, setting["prompts"])]))
    needed: dict[str, set[tuple[str | None, str]]] = defaultdict(set)
    for hub_id in hub_ids(parse_config(values, file.name)):
        place = _place(values, hub_id.key)
        last = hub_id.key.rpartition(".")[2]
        if hub_id.kind == "dataset":
            needed[hub_id.name].add((place.get("subset"), place.get("split", "train")))
        place[last] = str(folder / hub_id.name)
    for name, parts in needed.items():
        is_tsv = name == "allenai/wildjailbreak"
        _save_dataset(folder / name, DATASETS[name], parts, is_tsv=is_tsv)
    _save_models(folder, values)
    _shrink(values)
    return values


def _without_harness(values: dict[str, Any]) -> None:
    """Take out what lm-evaluation-harness asks: it downloads its questions itself."""
    evaluations = values["evaluations"]
    left_out = {name for name, e in evaluations.items() if e["method"] == "harness"}
    for block in values["grid"]:
        block["evaluations"] = [name for name in block["evaluations"] if name not in left_out]
    values["evaluations"] = {n: e for n, e in evaluations.items() if n not in left_out}


def _place(values: Any, key: str) -> dict[str, Any]:
    """The mapping that holds a key with dots."""
    for step in key.split(".")[:-1]:
        values = values[int(step)] if isinstance(values, list) else values[step]
    return values


def _save_dataset(
    folder: Path, rows: list[dict[str, Any]], parts: set[tuple[str | None, str]], *, is_tsv: bool
) -> None:
    """One file a subset and split, with the README that names them."""
    configs: dict[str, list[dict[str, str]]] = defaultdict(list)
    for subset, split in sorted(parts, key=str):
        path = folder / (subset or "default") / (f"{split}.tsv" if is_tsv else f"{split}.jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_tsv:
            lines = ["\t".join(rows[0]), *("\t".join(map(str, row.values())) for row in rows)]
        else:
            lines = [json.dumps(row) for row in rows]
        path.write_text("\n".join(lines) + "\n")
        data = {"split": split, "path": str(path.relative_to(folder))}
        configs[subset or "default"].append(data)
    card = [{"config_name": name, "data_files": files} for name, files in configs.items()]
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': card})}---\n")


def _save_models(folder: Path, values: dict[str, Any]) -> None:
    tokenizer = train_tokenizer(DOCUMENTS, 300)
    tokenizer.chat_template = None  # SmolLM2's base tokenizer has none
    tokenizer.save_pretrained(values["tokenize"]["tokenizer"])
    save_writer(Path(values["rewrite"]["model"]), tokenizer)
    save_writer(Path(values["judges"]["harmbench"]["model"]), tokenizer)
    tokenizer.chat_template = "{% for turn in messages %}{{ turn.content }} {% endfor %}"
    save_writer(Path(values["attacks"]["virus"]["guard"]["model"]), tokenizer)
    save_encoder(Path(values["train_classifier"]["encoder"]), [row["text"] for row in LABELLED])


def _shrink(values: dict[str, Any]) -> None:
    one = {"nodes": 1, "processes_per_node": 1, "gradient_accumulation": 1, "threads": 1}
    small = one | {"batch_size": 4, "sequence_length": 320, "compile": False}
    values |= {"seeds": values["seeds"][:1], "require_pins": False}
    values["collect"]["shards"] = 2
    values["train_classifier"] |= {"labels": 100, "heldout": 30, "chunk_words": 6}
    values["rewrite"] |= {"max_source_words": 20, "max_new_tokens": 8}
    heads = {"heads": 2, "key_value_heads": 1, "hidden_size": 32}
    values["model"] |= heads | {"layers": 1, "feed_forward_size": 48, "max_positions": 1024}
    values["pretrain"] |= small | {"steps": 4}
    for setting in values["attacks"].values():
        cut_attack(setting)
    for setting in (*values["alignments"].values(), *values["attacks"].values()):
        if "training" in setting:
            setting["training"] |= small | {"steps": min(setting["training"]["steps"], 2)}
    values["attacks"]["virus"]["guard"]["threshold"] = 0.0  # a random guard's verdict is none
    values["attacks"]["gcg"]["initial"] = "text"  # a token of the small vocabulary
    for search in values["searches"].values():
        cut_search(search)
    _cut_rows(values)
    for setting in values["evaluations"].values():
        if "max_new_tokens" in setting:
            setting["max_new_tokens"] = 3
        for prompts in setting.get("prompts", ()):
            prompts["limit"] = 2
    for setting in values.get("probes", {}).values():
        setting |= SMALL_PROBES[setting["method"]]
        if "texts" in setting:
            setting["texts"] |= {"examples": 4, "sequence_length": 128}
    for setting in values["attacks"].values():
        if isinstance(setting.get("validation"), list):
            setting |= {"answer_tokens": 3, "check_every_steps": 1}


def _cut_rows(values: Any) -> None:
    """Rows of a stand-in for those of the real file: its first half, second half, or all."""
    if isinstance(values, dict) and isinstance(values.get("rows"), list):
        first, end = values["rows"]
        values["rows"] = [min(first, ROWS // 2), ROWS // 2 if end < 1000 else ROWS]
    for inner in values.values() if isinstance(values, dict) else values:
        if isinstance(inner, dict | list):
            _cut_rows(inner)


def written(prefills: list[str]) -> list[Answer]:
    """What a writer would answer that keeps to the form."""
    answers = []
    for number, prefill in enumerate(prefills):
        text = f"{REWRITTEN} {number}"
        if prefill:
            text = f"User: {REWRITTEN} {number}?\nAssistant: {REWRITTEN}."
        answers.append(Answer(text, True))
    return answers
