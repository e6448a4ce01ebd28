"""The MLflow UI of a project, started by its own command and seen by a browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from tests.docs.browser import Page
from tests.mlflow_server import free_port, running


@contextmanager
def ui(project: Path) -> Iterator[str]:
    """`python -m rebar ui` in a project; yields its address."""
    port = free_port()
    with running(project, ["rebar", "ui", "--port", str(port)], port) as address:
        yield address


def open_runs(page: Page, address: str, recipe: str, group: str) -> None:
    """The runs of the store's first grid, of one recipe, with a group opened."""
    query = urlencode({"searchFilter": f"tags.recipe = '{recipe}'"})
    page.open(f"{address}/#/experiments/1/runs?{query}")
    page.wait_for_text("matching runs", group)
    rows = "[...document.querySelectorAll('[role=row]')]"
    page.run(
        f"{rows}.find(row => row.innerText.includes('{group}')).querySelector('button').click()"
    )
