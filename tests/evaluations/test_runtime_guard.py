"""The runtime guard: what it blocks of inputs and outputs, and what it lets pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from rebar import grid
from rebar.config.decoding import Decoder, Guarded
from rebar.config.file import parse_config
from rebar.corpus import classifier
from rebar.data.prompts import Prompt
from rebar.evaluations._asker import Asker
from rebar.evaluations._runtime_guard import runtime_guard
from rebar.grid import dag
from rebar.grid.check import check_grid
from rebar.jobs.job import make_job
from rebar.jobs.manifest import write_manifest
from rebar.judges import Outcome
from rebar.stages import evaluate
from tests.model.tiny import recorder, tiny_llama, tiny_tokenizer

PROMPTS = [Prompt(f"p{i}", f"h{i}", "s", "seen_a", text) for i, text in enumerate(("w1 bad", "w2"))]
TEXTS = ["<s> w1 bad", "<s> w2"]
NOWHERE = Path("no classifier is read")


def harm_judge(prompts, answers) -> list[Outcome]:
    """An answer is harmful that has `bad` in it; the prompt has to be the text that was sent."""
    assert [prompt.text for prompt in prompts] == TEXTS
    return [Outcome("complied" if "bad" in answer else "other", False) for answer in answers]


def guard(**settings: Any):
    decoder = Guarded(method="guarded", refusal="no: {prompt}", **settings)
    return runtime_guard(decoder, lambda name: {"harm": harm_judge}[name], NOWHERE)


@pytest.mark.parametrize(
    ("settings", "leaves"),
    [
        ({"input": {"judge": "harm"}}, ["no: w1 bad", "bad end"]),
        ({"output": {"judge": "harm"}}, ["fine", "no: w2"]),
        ({"input": {"judge": "harm"}, "output": {"judge": "harm"}}, ["no: w1 bad", "no: w2"]),
    ],
)
def test_inputs_and_outputs_are_blocked(settings: dict, leaves: list[str]) -> None:
    assert guard(**settings)(PROMPTS, TEXTS, ["fine", "bad end"]) == leaves


def test_what_is_harmless_passes_unchanged() -> None:
    both = {"input": {"judge": "harm"}, "output": {"judge": "harm"}}
    answers = ["  fine", "w3"]
    harmless = [PROMPTS[1], PROMPTS[1]]
    decoder = Guarded(method="guarded", **both)
    passing = runtime_guard(
        decoder, lambda name: lambda p, a: [Outcome("other", True)] * 2, NOWHERE
    )
    assert passing is not None and passing(harmless, TEXTS, answers) == answers
    greedy = TypeAdapter(Decoder).validate_python({"method": "greedy"})
    assert runtime_guard(greedy, lambda name: harm_judge, NOWHERE) is None


def test_the_runs_safety_classifier_blocks_from_a_score_on(tmp_path: Path) -> None:
    texts = ["a bad word", "such a good day", "quite odd"] * 3
    trained = classifier.train_classifier(texts, [5, 0, 3] * 3, encoder=None, chunk_words=50)
    classifier.save_classifier(trained, tmp_path)
    write_manifest(tmp_path, spec={})
    for score, leaves in ((4, ["no", "quite odd"]), (3, ["no", "no"])):
        settings = {"method": "guarded", "output": {"blocked_score": score}, "refusal": "no"}
        by_score = runtime_guard(Guarded(**settings), lambda name: harm_judge, tmp_path)
        assert by_score is not None
        assert by_score(PROMPTS, ["good day"] * 2, ["a bad word", "quite odd"]) == leaves
    with pytest.raises(ValueError, match=r"manifest\.json is missing"):
        runtime_guard(Guarded(**settings), lambda name: harm_judge, tmp_path / "none")


def test_a_guarded_decoder_generates_like_its_inner_one(tmp_path: Path) -> None:
    """Rows hold what leaves the guard; the monitors read prompts without special tokens."""
    guarded = Guarded(method="guarded", output={"judge": "all"}, refusal="w9")
    rows, seen = {}, []
    for decoder in (guarded, guarded.inner):
        asker = Asker(
            *(tiny_llama(vocabulary=94), tiny_tokenizer(), decoder),
            **{"world": None, "chat": False, "seed": 1, "recorder": recorder(tmp_path)},
        )

        def monitor(prompts, answers) -> list[Outcome]:
            seen.extend(prompt.text for prompt in prompts)
            return [
                Outcome("complied" if n == 0 else "other", False) for n, _ in enumerate(answers)
            ]

        asker.runtime_guard = runtime_guard(decoder, lambda name: monitor, NOWHERE)
        judge = lambda prompts, answers: [Outcome("other", False)] * len(answers)  # noqa: E731
        asked = [Prompt("p1", "h", "s", "seen_a", "w1 w2"), Prompt("p2", "h", "s", "seen_a", "w3")]
        rows[decoder.method] = [row["answer"] for row in asker.rows(asked, judge, 4)]
    assert rows["guarded"] == ["w9", rows["greedy"][1]] and rows["greedy"][0] != "w9"
    assert seen == ["w1 w2", "w3"]


def values(**decoder: Any) -> dict[str, Any]:
    """Smoke with a guarded decoder on one arm."""
    found = yaml.safe_load(Path("config/smoke.yaml").read_text())
    found["decoders"]["guarded"] = {"method": "guarded", **decoder}
    every = found["grid"][0]["evaluations"]
    block = {"recipes": ["raw"], "alignments": ["sft"], "decoders": ["guarded"]}
    found["grid"].append({**block, "evaluations": every})
    return found


def test_a_guard_with_the_classifier_reads_it(smoke: Any) -> None:
    config = parse_config(values(input={"blocked_score": 4}), "f.yaml")
    check_grid(config, "f.yaml")
    names = {"seed": 0, "recipe": "raw", "safeguard": "none", "alignment": "sft"}
    assert Path("classifier/0") in dag.reads(config, "evaluate", **names)
    assert Path("classifier/0") not in dag.reads(smoke, "evaluate", **names)
    other = names | {"recipe": "safelm"}
    assert Path("classifier/0") not in dag.reads(config, "evaluate", **other)


def test_judges_of_a_guard_are_part_of_the_job() -> None:
    found = values(output={"judge": "phrases"})
    found["judges"]["phrases"] = {"method": "refusal_phrases"}
    config = parse_config(found, "f.yaml")
    check_grid(config, "f.yaml")
    names = {"seed": 0, "recipe": "raw", "safeguard": "none", "alignment": "sft"}
    job = make_job(config, Path("r"), "evaluate", **names)
    assert list(job.settings["judges"]) == ["phrases", "world"] and "judges.phrases" in job.code
    assert Path("classifier/0") not in dag.reads(config, "evaluate", **names)
    arm = grid.arm_of(names)
    cells = {cell.decoder: cell for cell in grid.measurements(config, arm)}
    specs = {name: evaluate.item_spec(job, "none", [cell]) for name, cell in cells.items()}
    assert list(specs["guarded"]["settings"]["judges"]) == ["phrases", "world"]
    assert list(specs["greedy"]["settings"]["judges"]) == ["world"]
    with pytest.raises(ValueError, match="decoders: judge 'x' of a guard is not defined; allowed"):
        check_grid(parse_config(values(output={"judge": "x"}), "f.yaml"), "f.yaml")


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        ({}, "a guard needs input:, output: or both"),
        ({"input": {}}, "give blocked_score: or judge:"),
        ({"input": {"judge": "a", "blocked_score": 3}}, "give blocked_score: or judge:"),
    ],
)
def test_a_guard_that_guards_nothing(decoder: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_config(values(**decoder), "f.yaml")


def test_a_guarded_beam_still_needs_the_tag() -> None:
    guarded = {"inner": {"method": "safebeam"}, "input": {"blocked_score": 4}}
    config = parse_config(values(**guarded), "f.yaml")
    with pytest.raises(ValueError, match="decoder 'guarded' needs the harmfulness tag"):
        check_grid(config, "f.yaml")
