"""Lines of arms: few share a panel by recipe's colour, many have panels of their own."""

from __future__ import annotations

from rebar.grid import Arm
from rebar.reporting.figures.arm_lines import DASHES, UNDEFENDED, LineStyle, Panel, panels
from rebar.reporting.figures.plots import COLOURS

COLOURS_OF = {"raw": "#7f7f7f", "moral": "#0072B2"}


def arms(recipe: str, *safeguards: str) -> list[Arm]:
    return [Arm(recipe, safeguard, "sft") for safeguard in safeguards]


def test_few_arms_share_a_panel_colour_means_recipe() -> None:
    (panel,) = panels([*arms("raw", "none", "sam"), *arms("moral", "none")] * 3, COLOURS_OF)
    assert panel.title == ""
    assert not panel.is_crowded
    assert list(panel.styles.values()) == [
        LineStyle("#7f7f7f", "-", "raw + sft"),
        LineStyle("#7f7f7f", "--", "raw + sam + sft"),
        LineStyle("#0072B2", "-", "moral + sft"),
    ]


def test_many_safeguards_have_colours_of_their_own_in_a_panel_a_recipe() -> None:
    names = [f"safeguard{i}" for i in range(9)]
    raw, moral = panels(
        [*arms("raw", "none", *names), *arms("moral", "none", names[8])], COLOURS_OF
    )
    assert (raw.title, moral.title) == ("raw", "moral")
    assert raw.is_crowded and not moral.is_crowded
    assert raw.styles[Arm("raw", "none", "sft")] == LineStyle(UNDEFENDED, "-", "none + sft")
    assert len({(style.color, style.linestyle) for style in raw.styles.values()}) == 10
    assert raw.styles[Arm("raw", names[0], "sft")].color == COLOURS[1]
    assert raw.styles[Arm("raw", names[7], "sft")][:2] == (COLOURS[1], DASHES[1])
    assert raw.styles[Arm("raw", names[8], "sft")] == moral.styles[Arm("moral", names[8], "sft")]


def test_arms_of_one_recipe_alone_have_colours_of_their_own() -> None:
    (panel,) = panels(arms("raw", "none", "sam", "tar"), COLOURS_OF)
    assert panel.title == "raw"
    assert [style.color for style in panel.styles.values()] == [UNDEFENDED, *COLOURS[1:3]]


def test_nothing_to_draw_is_a_panel_without_lines() -> None:
    assert panels([], COLOURS_OF) == [Panel("", {})]
