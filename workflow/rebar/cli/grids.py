"""The commands for people that take the config of a grid: plan, status, where, verify, ..."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from rebar import grid
from rebar.config.file import Config, load_config
from rebar.grid.check import check_grid
from rebar.jobs.manifest import MANIFEST, damages, find_manifests, read_manifest

CONFIG_HELP = "a file of config/"
NARROWEST = 80  # columns of a terminal; also the width in a pipe


def add_grid_commands(commands: Any) -> None:
    """Add the commands in the order in which a person needs them."""
    command = _add(commands, "plan", _print_plan, "print what a grid will cost")
    command.add_argument("--gpus", type=int, default=8, help="GPUs of the cluster (8)")
    command.add_argument("--cpus", type=int, default=64, help="cores of the cluster (64)")
    _add(commands, "status", _print_status, "print how far a grid is and what it has cost")
    _add(commands, "where", _print_overview, "print the main table and where the results are")
    _add_verify(commands)
    command = _add(commands, "sheet", _write_sheet, "write stored answers as a sheet for labelling")
    command.add_argument("--rows", type=int, default=200, help="answers of the sheet (200)")
    command.add_argument("--evaluation", help="only of this evaluation; default: of all")
    command.add_argument("--out", type=Path, help="the file; default: results/<name>/sheet.csv")
    command = _add(commands, "prune", _prune, "list what no config needs; --delete removes it")
    command.add_argument("--delete", action="store_true", help="remove what is listed")
    command = _add(
        commands, "provenance", _provenance, "check a target's results, keep its records"
    )
    command.add_argument("target", help="corpus, models, attacks, evaluations, probes or all")


def _add(commands: Any, name: str, run: Any, help_text: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=help_text)
    command.add_argument("--configfile", required=True, help=CONFIG_HELP)
    command.set_defaults(run=run)
    return command


def _add_verify(commands: Any) -> None:
    command = commands.add_parser("verify", help="check size and hash of every result")
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--configfile", help=CONFIG_HELP)
    which.add_argument("--results", type=Path, help="results/<name>")
    command.set_defaults(run=_verify)


def _load_checked(file: str) -> Config:
    """The config; ValueError if its names do not fit together."""
    config = load_config(file)
    check_grid(config, file)
    return config


def _snakemake(configfile: str) -> str:
    return f"snakemake --profile profiles/local --configfile {configfile}"


# ----------------------------------------------------------------- before and during a run


def _print_plan(options: argparse.Namespace) -> None:
    from rebar.cost.plan import plan_lines

    if options.gpus < 0 or options.cpus < 1:
        raise ValueError(
            f"--gpus {options.gpus} --cpus {options.cpus}: a cluster has at least 0 GPUs and 1 core"
        )
    config = _load_checked(options.configfile)
    print("\n".join(plan_lines(config, options.gpus, options.cpus)))


def _print_status(options: argparse.Namespace) -> None:
    from rebar.driver.status import status_lines

    config = _load_checked(options.configfile)
    print("\n".join(status_lines(config, Path("results") / config.name)))


# ----------------------------------------------------------------------------- results


def _print_overview(options: argparse.Namespace) -> None:
    from rebar.reporting.tables.overview import overview_text

    config = load_config(options.configfile)
    results = Path("results") / config.name
    if not (results / "table.csv").exists():
        raise ValueError(
            f"{results / 'table.csv'} does not exist yet; make it: "
            f"{_snakemake(options.configfile)} -- all"
        )
    print(overview_text(config, results / "table.csv", _terminal_width()))
    print(f"all      {results / 'table.md'} (intervals, over-refusal, capability, ...)")
    print(f"report   {results / 'report.html'} (open it in a browser; works offline)")
    print(f"figures  {results / 'figures'}/")
    print(f"numbers  {results / 'summary.csv'}, table.csv, costs.csv")
    print("UI       .venv/bin/python -m rebar ui, then open http://127.0.0.1:5000")


def _terminal_width() -> int:
    """Columns of the terminal, at least 80; 80 in a pipe or file."""
    if not sys.stdout.isatty():
        return NARROWEST
    return max(NARROWEST, shutil.get_terminal_size().columns)


def _write_sheet(options: argparse.Namespace) -> None:
    """Answers hold harmful text: the sheet lies with the results, and nothing of it is printed."""
    from rebar.reporting.measures.sheet import read_stored, write_sheet

    config = _load_checked(options.configfile)
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
    print(f"wrote {count} answers to {path}")
    print("Fill the column label with complied, refused or other (empty rows are left out),")
    print(f"add the file to audit.sheets in {options.configfile}, and run")
    print(f"{_snakemake(options.configfile)} -- all")


def _prune(options: argparse.Namespace) -> None:
    """Other config files of the same folder may share the results; what they need stays."""
    from rebar.driver.status import configs_sharing, find_removable, is_running, prune

    name = _load_checked(options.configfile).name
    root = Path("results") / name
    if options.delete and is_running(root):
        raise ValueError(f"jobs of {root} are running; prune when they have ended")
    files = configs_sharing(options.configfile, name)
    print(f"needed by {', '.join(files)}: everything that is not listed here")
    print("\n".join(prune(find_removable(files, root), delete=options.delete)))


def _provenance(options: argparse.Namespace) -> None:
    """Keep a target's records; ValueError, which fails the DVC stage, if its results are wrong."""
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


# ------------------------------------------------------------------------------- verify


def _verify(options: argparse.Namespace) -> None:
    """ValueError lists what is damaged, in the order of the stages, each with its remedy."""
    results, configfile = options.results, options.configfile
    if configfile:
        results = Path("results") / load_config(configfile).name
    else:
        configfile = f"config/{results.name}.yaml"
    folders = _made_folders(results)
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


def _made_folders(results: Path) -> list[Path]:
    """Folders with a manifest, in the order of the stages that made them."""
    return sorted(
        (path.parent for path in find_manifests(results)),
        key=lambda folder: list(grid.STAGES).index(grid.maker(folder.relative_to(results))[0]),
    )


def _remake(folder: Path, results: Path, configfile: str) -> str:
    """The command that remakes a job's folder.

    The manifest of an item is removed first, because jobs skip items that look complete.
    """
    manifest, command = folder / MANIFEST, _snakemake(configfile)
    if folder.parent == results:  # a file of the whole grid
        return f"{command} --force -- {folder}"
    stage, is_item = grid.maker(folder.relative_to(results))
    if is_item:
        return f"rm -f {manifest}; {command} --forcerun {stage} -- all"
    return f"{command} --force -- {manifest}"
