"""Scores one shard of collected documents from 0 to 5 with the safety classifier."""

from __future__ import annotations

from collections import Counter

from rebar.config.corpus import Score
from rebar.corpus import classifier
from rebar.data.documents import DOCUMENTS, TableWriter, count_documents, read_documents
from rebar.jobs.job import Job
from rebar.jobs.manifest import MANIFEST, output_folder, read_manifest, write_manifest
from rebar.jobs.recorder import Recorder


def run(job: Job) -> None:
    """Write documents.parquet with score and score_reason; counts per score."""
    settings = job.section("score", Score)
    collected, trained = job.path("collect"), job.path("train_classifier")
    for folder in (collected, trained):
        read_manifest(folder)
    model = classifier.load_classifier(trained)
    total = count_documents(collected / DOCUMENTS)
    counts: Counter[int] = Counter(dict.fromkeys(range(6), 0))
    with output_folder(job.folder) as folder:
        recorder = Recorder(folder, job.label)
        recorder.progress(0, total, "documents")
        with TableWriter(folder / DOCUMENTS) as writer:
            for batch in read_documents(collected / DOCUMENTS, settings.batch_documents):
                verdicts = model.classify([document.text for document in batch])
                writer.add(
                    document._replace(score=verdict.score, score_reason=verdict.reason)
                    for document, verdict in zip(batch, verdicts, strict=True)
                )
                counts.update(verdict.score for verdict in verdicts)
                recorder.progress(counts.total(), total, "documents")
        write_manifest(
            folder,
            spec=job.spec,
            inputs={"collected": collected / MANIFEST, "classifier": trained / MANIFEST},
            counts={"documents": total, "by_score": {str(k): n for k, n in counts.items()}},
        )
