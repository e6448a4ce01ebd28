"""Trains the 0-5 safety classifier on labelled documents and tests it on held-out ones."""

from __future__ import annotations

import json
from typing import Any

from rebar.config.corpus import TrainClassifier
from rebar.config.world import World
from rebar.corpus.classifier import Classifier, save_classifier, train_classifier
from rebar.corpus.classifier_report import confusion_matrix, source_only_scores, summarize
from rebar.corpus.labels import Labels, human_labels, world_labels
from rebar.corpus.sources import Shard, input_files_of
from rebar.jobs.job import Job
from rebar.jobs.manifest import output_folder, write_manifest
from rebar.jobs.recorder import Recorder

REPORT = "report.json"
METRICS = ("macro_f1", "recall_at_1", "recall_at_3", "false_positive_rate")  # MLflow shows these


def run(job: Job) -> None:
    """Write the classifier and report.json."""
    settings = job.section("train_classifier", TrainClassifier)
    labels = _labels(job, settings)
    classifier = train_classifier(
        [document.text for document in labels.train],
        [document.level for document in labels.train],
        encoder=settings.encoder,
        encoder_revision=settings.encoder_revision,
        chunk_words=settings.chunk_words,
    )
    report = _report(classifier, labels, is_human=bool(settings.sources))
    counts = {"labels": len(labels.train), "heldout": len(labels.heldout)}
    with output_folder(job.folder) as folder:
        save_classifier(classifier, folder)
        text = json.dumps(report, indent=1, sort_keys=True) + "\n"
        (folder / REPORT).write_text(text, encoding="utf-8")
        recorder = Recorder(folder, job.label)
        f1, recall = report["macro_f1"], report["recall_at_1"]
        recorder.say(f"macro-F1 {f1}, recall at 1 {recall} on {report['n']}")
        known = {name: report[name] for name in METRICS if report[name] is not None}
        recorder.log(len(labels.train), **known)
        inputs = input_files_of(settings.sources, Shard(0, 1))
        write_manifest(folder, spec=job.spec, inputs=inputs, counts=counts)


def _labels(job: Job, settings: TrainClassifier) -> Labels:
    rng = job.rng("labels")
    if settings.sources:
        return human_labels(settings, rng)
    return world_labels(settings, job.section("world", World), job.seed, rng)


def _report(classifier: Classifier, labels: Labels, *, is_human: bool) -> dict[str, Any]:
    true = [document.level for document in labels.heldout]
    verdicts = classifier.classify([document.text for document in labels.heldout])
    report = summarize(confusion_matrix(true, [verdict.score for verdict in verdicts]))
    if is_human:
        by_source = source_only_scores(labels.train, labels.heldout)
        report["source_only"] = summarize(confusion_matrix(true, by_source))
    return report
