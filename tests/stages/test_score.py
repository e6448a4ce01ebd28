"""Scoring: the classifier's word alone."""

from __future__ import annotations

from pathlib import Path

from rebar.corpus import classifier
from rebar.data.documents import TRUTH, TRUTH_SCHEMA, TableWriter, read_levels
from tests.stages import corpus_jobs as jobs


def test_all_documents_get_the_classifiers_score(corpus: Path) -> None:
    collected = jobs.documents(corpus / "corpus/5/collected/0")
    scored = jobs.documents(corpus / "corpus/5/scored/0")
    model = classifier.load_classifier(corpus / "classifier/5")
    verdicts = model.classify([document.text for document in collected])
    assert [(d.score, d.score_reason) for d in scored] == verdicts
    assert [d._replace(score=None, score_reason=None) for d in scored] == collected


def test_counts_per_score_add_up(corpus: Path) -> None:
    counts = jobs.counts(corpus / "corpus/5/scored/0")
    scored = jobs.documents(corpus / "corpus/5/scored/0")
    assert counts["documents"] == 1501 == sum(counts["by_score"].values())
    assert list(counts["by_score"]) == list("012345")
    assert counts["by_score"]["5"] == sum(d.score == 5 for d in scored)


def test_scores_are_close_to_the_truth_but_not_it(corpus: Path) -> None:
    levels = read_levels(corpus / "corpus/5/collected/0" / TRUTH)
    scored = jobs.documents(corpus / "corpus/5/scored/0")
    share = sum(levels[d.id] == d.score for d in scored) / len(scored)
    assert 0.85 < share < 1.0


def test_the_truth_is_never_read(corpus: Path, tmp_path: Path) -> None:
    jobs.collect(tmp_path, {"kind": "world", "documents": 3001})
    jobs.train_classifier(tmp_path)
    for shard in range(2):
        with TableWriter(tmp_path / f"corpus/5/collected/{shard}" / TRUTH, TRUTH_SCHEMA) as writer:
            writer.add([])
    for folder in (tmp_path / f"corpus/5/collected/{shard}" for shard in range(2)):
        size = (folder / TRUTH).stat().st_size
        manifest = (folder / "manifest.json").read_text()
        import json

        content = json.loads(manifest)
        content["files"][TRUTH]["bytes"] = size
        (folder / "manifest.json").write_text(json.dumps(content))
    scored = jobs.score(tmp_path)
    rewritten = jobs.rewrite(tmp_path, echo_rate=0.05, leak_rate=0.05, refusals_per_document=2)
    for made, name in ((scored, "scored"), (rewritten, "rewritten")):
        expected = jobs.content(corpus / f"corpus/5/{name}/1")
        assert jobs.content(made[1]) == expected


def test_the_batch_size_changes_nothing(corpus: Path, tmp_path: Path) -> None:
    jobs.collect(tmp_path, {"kind": "world", "documents": 3001})
    jobs.train_classifier(tmp_path)
    folder = jobs.score(tmp_path, batch_documents=97)[0]
    assert jobs.documents(folder) == jobs.documents(corpus / "corpus/5/scored/0")
