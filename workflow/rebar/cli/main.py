"""The command line: one command a stage (the rules call these), and a few for people.

`python -m rebar pretrain --results results/demo --job JSON` runs one job; Snakemake writes the
JSON. `python -m rebar schema` regenerates the documentation of the config keys; `where` says where
the results of a config lie; `verify` compares every file of them with its recorded hash; `pin` asks
the Hub for commits.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

from rebar import grid
from rebar.config.file import Config
from rebar.grid.check import check_grid
from rebar.jobs.manifest import MANIFEST, damages, find_manifests, read_manifest
from rebar.runtime.run_job import run_stage
from rebar.tracking.ui import serve_ui


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and run it; a ValueError becomes one message and exit code 1."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except ValueError as error:
        sys.exit(f"error: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rebar", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_stages(commands)
    command = commands.add_parser("tracking_db", help="create the MLflow store")
    command.add_argument("--results", type=Path, required=True, help="results/<name>")
    command.set_defaults(run=lambda options: _tracking().create_store(options.results))
    command = commands.add_parser("schema", help="write config.schema.json and config/README.md")
    command.set_defaults(run=_schema)
    command = commands.add_parser("ui", help="open the MLflow UI on the right store, on loopback")
    command.add_argument("--port", type=int, default=5000, help="where to listen (5000)")
    command.set_defaults(run=lambda options: serve_ui(options.port))
    _add_grid_commands(commands)
    command = commands.add_parser("verify", help="check size and hash of every result")
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--configfile", help="a file of config/")
    which.add_argument("--results", type=Path, help="results/<name>")
    command.set_defaults(run=_verify)
    return parser


def _add_stages(commands: Any) -> None:
    """What Snakemake's rules call."""
    for stage in grid.STAGES:
        command = commands.add_parser(stage, help=f"run a job of the stage {stage}")
        command.add_argument("--results", type=Path, required=True, help="results/<name>")
        command.add_argument("--job", required=True, help="the job as JSON, or @file")
        command.add_argument("--gpus", type=int, help="GPUs that it may use; default: as it finds")
        command.set_defaults(run=run_stage, stage=stage)


def _add_grid_commands(commands: Any) -> None:
    """What takes the config of a grid."""
    for name, run, help_text in (
        ("where", _where, "print the table and where the results are"),
        ("plan", _plan, "print what a grid will cost"),
        ("status", _status, "print how far a grid is and what it has cost"),
        ("prune", _prune, "list what no config needs; --delete removes it"),
        ("provenance", _provenance, "check what a target made, keep its records"),
        ("pin", _pin, "print the current commit of each unpinned Hub id"),
        ("sheet", _sheet, "write stored answers as a sheet for labelling"),
    ):
        command = commands.add_parser(name, help=help_text)
        command.add_argument("--configfile", required=True, help="a file of config/")
        command.set_defaults(run=run)
    command = commands.choices["sheet"]
    command.add_argument("--rows", type=int, default=200, help="answers of the sheet (200)")
    command.add_argument("--evaluation", help="of this evaluation only; default: of all")
    command.add_argument("--out", type=Path, help="where; default: results/<name>/sheet.csv")
    command = commands.choices["plan"]
    command.add_argument("--gpus", type=int, default=8, help="GPUs of the cluster (8)")
    command.add_argument("--cpus", type=int, default=64, help="cores of the cluster (64)")
    commands.choices["prune"].add_argument("--delete", action="store_true", help="remove it")
    commands.choices["provenance"].add_argument(
        "target", help="corpus, models, attacks, evaluations, probes or all"
    )


def _tracking():
    """Import mlflow only where it is used."""
    return importlib.import_module("rebar.tracking.store")


def _schema(options: argparse.Namespace) -> None:
    from rebar.config.reference import write_schema

    for path in write_schema(Path(".")):
        print(f"wrote {path}")


def _where(options: argparse.Namespace) -> None:
    from rebar.config.file import load_config

    results = Path("results") / load_config(options.configfile).name
    table = results / "table.md"
    if not table.exists():
        raise ValueError(
            f"{table} is not made yet; make it: {_snakemake(options.configfile)} -- all"
        )
    print(table.read_text(encoding="utf-8"))
    print(f"report:   {results / 'report.html'} (opens in a browser, offline)")
    print(f"figures:  {results / 'figures'}/")
    print(f"numbers:  {results / 'summary.csv'}, {results / 'table.csv'}, {results / 'costs.csv'}")
    print("tracking: .venv/bin/python -m rebar ui, then open http://127.0.0.1:5000")


def _pin(options: argparse.Namespace) -> None:
    from rebar.config.file import load_config
    from rebar.grid.hub_access import hub_ids, pins

    config = load_config(options.configfile)
    found = list(pins(config))
    for hub_id, commit in found:
        print(f"{hub_id.revision_key}: {commit}  # {hub_id.name}")
    num_ids = len(hub_ids(config))
    print(f"# {num_ids - len(found)} of {num_ids} ids are pinned in {options.configfile}")


def _snakemake(configfile: str) -> str:
    return f"snakemake --profile profiles/local --configfile {configfile}"


def _config(file: str) -> Config:
    """The config, when its names fit together."""
    from rebar.config.file import load_config

    config = load_config(file)
    check_grid(config, file)
    return config


def _plan(options: argparse.Namespace) -> None:
    from rebar.cost.plan import plan_lines

    if options.gpus < 0 or options.cpus < 1:
        raise ValueError(f"--gpus {options.gpus} --cpus {options.cpus}: at least 0 and 1")
    config = _config(options.configfile)
    print("\n".join(plan_lines(config, options.gpus, options.cpus)))


def _sheet(options: argparse.Namespace) -> None:
    """Answers hold harmful text: the sheet lies with the results, and nothing of it is printed."""
    from rebar.reporting.measures.sheet import read_stored, write_sheet

    config = _config(options.configfile)
    root = Path("results") / config.name
    folders = [root / folder for folder in grid.evaluated(config)]
    for folder in folders:
        read_manifest(folder)
    stored = read_stored(folders, root, config.judges)
    if options.evaluation:
        stored = stored.loc[stored["evaluation"] == options.evaluation]
    if options.rows < 1 or not len(stored):
        known = ", ".join(config.evaluations)
        raise ValueError(f"--rows must be at least 1, --evaluation one of {known}")
    path = options.out or root / "sheet.csv"
    count = write_sheet(path, stored, options.rows)
    print(
        f"{path}: {count} answers. Write complied, refused or other into the column label (empty:"
    )
    print(f"left out), add the file to audit.sheets in {options.configfile}, and run")
    print(f"{_snakemake(options.configfile)} -- all")


def _status(options: argparse.Namespace) -> None:
    from rebar.driver.status import status_lines

    config = _config(options.configfile)
    print("\n".join(status_lines(config, Path("results") / config.name)))


def _prune(options: argparse.Namespace) -> None:
    """Other files of the same folder may share the results; what they need stays."""
    from rebar.driver.status import doomed, is_running, prune, sharing

    name = _config(options.configfile).name
    root = Path("results") / name
    if options.delete and is_running(root):
        raise ValueError(f"jobs of {root} are running; prune when they have ended")
    files = sharing(options.configfile, name)
    print(f"needed by {', '.join(files)}: all that is not listed here")
    print("\n".join(prune(doomed(files, root), delete=options.delete)))


def _provenance(options: argparse.Namespace) -> None:
    """Keep a target's records; ValueError, which ends the DVC stage, if its results are wrong."""
    from rebar.config.file import load_config
    from rebar.driver import provenance

    configfile, target = options.configfile, options.target
    if target not in grid.TARGETS:
        raise ValueError(f"no target '{target}'; allowed: {', '.join(grid.TARGETS)}")
    config = load_config(configfile)
    results = Path("results") / config.name
    found = [
        f"{sentence}; remake it: {_remake(path, results, configfile)}"
        for path, sentence in provenance.problems(config, results, target)
    ]
    if found:
        raise ValueError("\n".join(["DVC must not record these results", *found]))
    provenance.save(config, results, target)


def _verify(options: argparse.Namespace) -> None:
    """ValueError lists what is damaged, in the order of the stages, with what remakes it."""
    results, configfile = options.results, options.configfile
    if configfile:
        from rebar.config.file import load_config

        results = Path("results") / load_config(configfile).name
    else:
        configfile = f"config/{results.name}.yaml"
    folders = sorted(
        (path.parent for path in find_manifests(results)),
        key=lambda folder: list(grid.STAGES).index(grid.maker(folder.relative_to(results))[0]),
    )
    if not folders:
        raise ValueError(f"{results} holds no manifest; make it: {_snakemake(configfile)} -- all")
    problems = [
        f"{problem}; remake it: {_remake(folder, results, configfile)}"
        for folder in folders
        for problem in damages(folder, verify=True)
    ]
    if problems:
        first = f"{len(problems)} damaged below {results}; mend them in this order"
        raise ValueError("\n".join([first, *problems]))
    print(f"{results}: {len(folders)} folders, every file as recorded")


def _remake(folder: Path, results: Path, configfile: str) -> str:
    """The command for a job's folder; an item's manifest goes first: jobs skip what looks whole."""
    manifest, command = folder / MANIFEST, _snakemake(configfile)
    if folder.parent == results:  # a file of the whole grid
        return f"{command} --force -- {folder}"
    stage, is_item = grid.maker(folder.relative_to(results))
    if is_item:
        return f"rm -f {manifest}; {command} --forcerun {stage} -- all"
    return f"{command} --force -- {manifest}"
