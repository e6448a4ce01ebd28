# The only Python of the rules: the typed config, and how a rule finds paths and its job.
import json
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

from rebar import grid
from rebar.grid import dag
from rebar.config.file import parse_config
from rebar.config.paths import input_files
from rebar.grid.check import check_grid
from rebar.jobs.job import make_job
from rebar.cost.resources import resources

try:
    file_name = str(workflow.configfiles[-1]) if workflow.configfiles else "--config"
    CONFIG = parse_config(config, file_name)
    check_grid(CONFIG, file_name)
except ValueError as error:
    raise WorkflowError(str(error)) from None

RESULTS = Path("results") / CONFIG.name
ENVIRONMENT = "../../envs/rebar.yaml"  # used with `--sdm conda` only


def check_hub_access():
    """Stop before the first job if one would miss a dataset or a model of the Hub."""
    from rebar.grid.hub_access import check_access

    needed = {job.rule.name for job in workflow.dag.needrun_jobs()}
    try:
        check_access(CONFIG, file_name, needed)
    except ValueError as error:
        raise WorkflowError(str(error)) from None


def source_files(section):
    """Local files of a section's sources."""
    try:
        return input_files(getattr(CONFIG, section).sources)
    except ValueError as error:
        raise WorkflowError(f"{file_name}: {section}.sources: {error}") from None


def job(stage):
    """Parameter of a rule: the job's settings and code, a function of wildcards only."""

    def spec(wildcards):
        return json.dumps(
            make_job(CONFIG, RESULTS, stage, **dict(wildcards.items())).spec,
            sort_keys=True,
        )

    return spec


def run(stage):
    """The shell command of a stage."""
    gpus = " --gpus {resources.gpu}" if grid.STAGES[stage].workload else ""
    command = f"python -m rebar {stage} --results {RESULTS}{gpus}"
    return f"{command} --job {{params.job:q}} 2>&1 | tee {{log}}"


def asks(stage, what):
    """Resource of a rule: how much of it a job needs, by its wildcards and the config's sizes."""
    return lambda wildcards: getattr(needs(stage, *wildcards.items()), what)


@cache
def needs(stage, *names):
    """All that a job asks for: computed once, since a rule names each resource by itself."""
    return resources(CONFIG, stage, dict(names))


def made(stage):
    """Path of a stage's manifest, with wildcards."""
    return str(RESULTS / grid.STAGES[stage].folder / "manifest.json")


def reads(stage):
    """Manifests that a job of the stage reads, a function of its wildcards."""

    def paths(wildcards):
        folders = dag.reads(CONFIG, stage, **dict(wildcards.items()))
        return [str(RESULTS / folder / "manifest.json") for folder in folders]

    return paths


def prompt_files(rewrite):
    """Templates of a model that rewrites."""
    is_model = rewrite.backend == "transformers"
    return sorted(map(str, Path(rewrite.prompts).glob("*.yaml"))) if is_model else []


def log_of(stage):
    """Where a stage's log lies, with wildcards."""
    return str(RESULTS / "logs" / stage / grid.STAGES[stage].folder) + ".log"


@cache
def all_jobs():
    """The whole grid: enumerated by the driver alone, a cluster's job has no use for it."""
    return dag.all_jobs(CONFIG)


def chapter(stage):
    """Manifests of a stage that the grid needs, for all arms and seeds."""

    def paths(wildcards):
        return [str(RESULTS / f / "manifest.json") for f in dag.jobs(all_jobs(), stage)]

    return paths


wildcard_constraints:
    seed=r"\d+",
    shard=r"\d+",
    recipe=r"[^/]+",
    safeguard=r"[^/]+",
    alignment=r"[^/]+",
