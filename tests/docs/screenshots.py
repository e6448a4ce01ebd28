"""`make screenshots`: the README's pictures, of finished grids in results/."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

from rebar.config.file import load_config
from rebar.reporting.figures.figures import STYLE
from rebar.reporting.figures.plots import ladder
from rebar.reporting.measures.aggregate import gather
from rebar.reporting.measures.cells import find_collapsed, read_measured
from tests.docs.browser import CHROMIUM, page
from tests.docs.mlflow_ui import open_runs, ui

PICTURES = Path("docs/pictures")
BREAKS = Path("results/safeguards-chosen/figures/breaks.png")
RECIPE = "safelm"
LADDER_ATTACKS = ("none", "benign_finetune", "harmful_finetune_10")  # what the README shows of it


def main() -> None:
    """Photograph the demo where it has run, else the smoke grid; take over a figure of another."""
    if CHROMIUM is None:
        sys.exit("chromium is not installed; on Debian: apt-get install -y chromium")
    name = "demo" if Path("results/demo/tracking.json").exists() else "smoke"
    PICTURES.mkdir(parents=True, exist_ok=True)
    photograph_runs(load_config(f"config/{name}.yaml").seeds[0])
    photograph_report(Path(f"results/{name}/report.html").absolute())
    if name == "demo":
        draw_ladder(Path("results/demo"))
    if BREAKS.exists():
        shutil.copy(BREAKS, PICTURES / BREAKS.name)
        reduce_colours(PICTURES / BREAKS.name)
    for file in sorted(PICTURES.glob("*.png")):
        print(f"{file}: {file.stat().st_size // 1000} kB")


def photograph_runs(seed: int) -> None:
    """The runs of one recipe below their pretrained model, and the one that trained it."""
    with ui(Path(".")) as address, page(Path(tempfile.mkdtemp())) as tab:
        open_runs(tab, address, recipe=RECIPE, group=f"model {seed}/{RECIPE}/none")
        tab.wait_for_text(f"pretrain {RECIPE} seed {seed}")
        tab.run("document.querySelector('button[aria-label=Close]')?.click()")  # the assistant
        tab.picture(PICTURES / "runs.png", height=720)
        tab.click(f"pretrain {RECIPE} seed {seed}")
        tab.wait_for_text("Run ID", "loss", "Finished")
        tab.picture(PICTURES / "run.png", height=720)


def photograph_report(report: Path) -> None:
    """The top of the report."""
    with page(Path(tempfile.mkdtemp())) as tab:
        tab.open(report.as_uri())
        tab.wait_for_text("attack")
        tab.picture(PICTURES / "report.png")


def draw_ladder(results: Path) -> None:
    """The report's ladder with the columns that the README shows."""
    import matplotlib

    matplotlib.use("Agg")
    config = load_config("config/demo.yaml")
    kept = [tuple(a for a in block.attacks if a in LADDER_ATTACKS) for block in config.grid]
    blocks = [b.model_copy(update={"attacks": a}) for b, a in zip(config.grid, kept, strict=True)]
    grid = tuple(block for block in blocks if block.attacks and not block.probes)
    config = config.model_copy(update={"grid": grid})
    measured = read_measured(results, config)
    with matplotlib.rc_context(STYLE):
        figure = ladder(gather(config, measured, find_collapsed(config, measured)))
        assert figure is not None
        metadata = {"Software": None}
        file = PICTURES / "ladder.png"
        figure.savefig(file, dpi=100, bbox_inches="tight", metadata=metadata)
    reduce_colours(file)


def reduce_colours(file: Path) -> None:
    """Make a figure small: its few colours need no more than a palette."""
    with Image.open(file) as image:
        image.convert("RGB").quantize(64).save(file, optimize=True)


if __name__ == "__main__":
    main()
