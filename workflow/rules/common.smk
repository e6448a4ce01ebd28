# The only Python of the rules: the typed config, and what of a rule depends on it. What is made from
# what stands in the other files; what a job needs is looked up in workflow/rebar/grid/stages.py.
import json
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

from rebar.config.file import parse_config
from rebar.config.paths import input_files
from rebar.cost.resources import resources
from rebar.grid import STAGES, dag, stages_of_target
from rebar.grid.check import check_grid
from rebar.grid.stages import folder_of
from rebar.jobs.job import make_job

try:
    file_name = str(workflow.configfiles[-1]) if workflow.configfiles else "--config"
    CONFIG = parse_config(config, file_name)
    check_grid(CONFIG, file_name)
except ValueError as error:
    raise WorkflowError(str(error)) from None

RESULTS = Path("results") / CONFIG.name
SHARDS = range(CONFIG.collect.shards)
ENVIRONMENT = "../../envs/rebar.yaml"  # used with `--sdm conda` only


# In the rules, `<results>` is the folder of this config's results.
pathvars:
    results=str(RESULTS),


wildcard_constraints:
    seed=r"\d+",
    shard=r"\d+",
    recipe=r"[^/]+",
    safeguard=r"[^/]+",
    alignment=r"[^/]+",


def check_hub_access():
    """Stop before the first job if one would miss a dataset or a model of the Hub."""
    from rebar.grid.hub_access import check_access

    needed = {job.rule.name for job in workflow.dag.needrun_jobs()}
    try:
        check_access(CONFIG, file_name, needed)
    except ValueError as error:
        raise WorkflowError(str(error)) from None


def local_sources(section):
    """Local files among the sources of a section of the config."""
    try:
        return input_files(getattr(CONFIG, section).sources)
    except ValueError as error:
        raise WorkflowError(f"{file_name}: {section}.sources: {error}") from None


def rewriting_prompts():
    """Prompt templates, where a model rewrites."""
    is_model = CONFIG.rewrite.backend == "transformers"
    folder = Path(CONFIG.rewrite.prompts)
    return sorted(map(str, folder.glob("*.yaml"))) if is_model else []


def if_needed(stage, *patterns):
    """Those of the files that a job of the stage reads with this config: all, some or none.

    `{safeguard}` of a model that the safeguard has not changed yet is `none`: arms share it.
    """
    made_by = {stage_of(pattern) for pattern in patterns}

    def paths(wildcards):
        read = files_read(stage, *wildcards.items())
        return [file for maker, file in read if maker in made_by]

    return paths


@cache
def files_read(stage, *names):
    """What a job reads, with who makes it: looked up once, since a rule names each by itself."""
    nodes = dag.nodes_read(CONFIG, stage, dict(names))
    return [(node.stage, manifest(folder_of(node))) for node in nodes]


def all_of(pattern):
    """Every such file that the grid needs, for all seeds and arms."""
    return lambda wildcards: manifests_of([stage_of(pattern)])


def all_of_target(target):
    """Every file that the grid needs of the stages of a target, for all seeds and arms."""
    return lambda wildcards: manifests_of(stages_of_target(target))


def manifests_of(stages):
    return [manifest(folder) for folder in dag.jobs(all_jobs(), *stages)]


@cache
def all_jobs():
    """The whole grid: listed by the driver alone, since a cluster's job has no use for it."""
    return dag.all_jobs(CONFIG)


def stage_of(pattern):
    """The stage that makes files of this pattern."""
    folder = Path(pattern.removeprefix("<results>/")).parent
    return next(name for name, stage in STAGES.items() if stage.folder == str(folder))


def manifest(folder):
    """The file in a job's folder that stands for all that it made."""
    return str(RESULTS / folder / "manifest.json")


def job_of(stage):
    """The job as JSON, with its settings and code: when it changes, the job runs again."""

    def spec(wildcards):
        made = make_job(CONFIG, RESULTS, stage, **dict(wildcards.items()))
        return json.dumps(made.spec, sort_keys=True)

    return spec


def threads_of(stage):
    """CPUs that a job of the stage asks for."""
    return lambda wildcards: needs_of(stage, *wildcards.items()).cpus


def resources_of(stage):
    """What else a job of the stage asks for: minutes, memory, GPUs and nodes."""
    return {
        "runtime": lambda wildcards: needs_of(stage, *wildcards.items()).minutes,
        "mem_mb": lambda wildcards: needs_of(stage, *wildcards.items()).mem_mb,
        "gpu": lambda wildcards: needs_of(stage, *wildcards.items()).gpus,
        "nodes": lambda wildcards: needs_of(stage, *wildcards.items()).nodes,
    }


@cache
def needs_of(stage, *names):
    """All that a job asks for: computed once, since a rule names each resource by itself."""
    return resources(CONFIG, stage, dict(names))
