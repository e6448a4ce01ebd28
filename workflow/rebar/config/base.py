"""What all typed settings share: unknown keys are errors, values have names and ranges."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Base of all sections: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid")


NONE = "none"  # no alignment, no attack, no safeguard

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
HarmScore = Annotated[int, Field(ge=0, le=5)]
RESERVED_NAMES = ("none", "base", "manifest.json")  # words and files of the results' tree


def _plain_name(name: str) -> str:
    plain = all(c.isascii() and (c.isalnum() or c in "_-.") for c in name)
    if not plain or not name[:1].isalnum():
        raise ValueError(
            f"'{name}' cannot name a folder: letters, digits, '_', '-' and '.' only, and a letter "
            "or digit first"
        )
    if name in RESERVED_NAMES:
        raise ValueError(f"'{name}' is a word of its own here; choose another name")
    return name


Name = Annotated[str, AfterValidator(_plain_name)]


class HubDataset(Settings):
    """A dataset of the Hugging Face Hub."""

    dataset: str = Field(description="id on the Hub, or a local dataset folder")
    subset: str | None = Field(default=None, description="configuration of the dataset")
    split: str = Field(default="train", description="split to stream")
    revision: str | None = Field(
        default=None, description="commit of the dataset; pin it for real runs"
    )
    options: dict[str, str | bool] = Field(
        default={}, description="more of `datasets.load_dataset`, such as `delimiter` of a tsv file"
    )
