"""Names of a job: for people, for SLURM, and for recognising it in a later run."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

NAME_LENGTH = 128


def targets(job: JobExecutorInterface) -> list[str]:
    """What the job makes, as sorted JSON of rule and wildcards; several for a group."""
    members: list[Any] = list(job.get_target_spec())  # the interface declares a string
    return sorted(
        json.dumps([member.rulename, dict(member.wildcards_dict)], sort_keys=True)
        for member in members
    )


def rule_name(job: JobExecutorInterface) -> str:
    """The rule of a job, or the rules of a group such as `train+evaluate`."""
    return "+".join(sorted({json.loads(target)[0] for target in targets(job)}))


def wildcards(job: JobExecutorInterface) -> str:
    """Wildcards as `seed=1,recipe=raw`; for a group those of its first member and a count."""
    members = targets(job)
    values: dict[str, str] = json.loads(members[0])[1]
    words = [f"{name}={value}" for name, value in values.items()]
    if len(members) > 1:
        words.append(f"and-{len(members) - 1}-more")
    return _make_safe(",".join(words))


def job_name(job: JobExecutorInterface) -> str:
    """The job's name in SLURM, such as `train.seed=1,recipe=raw`."""
    return ".".join(filter(None, (rule_name(job), wildcards(job))))[:NAME_LENGTH]


def digests(job: JobExecutorInterface) -> dict[str, str]:
    """Per target, a digest of what its run would do.

    A running job with another digest is out of date.
    """
    members: list[Any] = list(job.jobs) if job.is_group() else [job]  # pyright: ignore[reportAttributeAccessIssue]
    result = {}
    for member in members:
        target = json.dumps([member.rule.name, dict(member.wildcards_dict)], sort_keys=True)
        work = [member.shellcmd, *map(repr, member.params.items())]
        work += [*member.input, "->", *member.output]
        text = "\n".join(map(str, work))
        result[target] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return result


def _make_safe(text: str) -> str:
    """The text with only those characters that are safe in file names and squeue's columns."""
    return re.sub(r"[^A-Za-z0-9_.,=+-]", "_", text)
