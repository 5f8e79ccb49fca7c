"""The base class of the groups of settings, and the types that several groups share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Side = Annotated[int, Field(ge=32)]


class Settings(BaseModel):
    """A group of settings: it cannot be changed, and an unknown name is an error.

    The text below each setting is its description.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
