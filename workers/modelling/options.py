"""What a profile's row may say of a model: options of known names and of values with sense, capabilities that it has.

A slip of the pen in a row is told while loading, with the row, the field and what is wrong; it is never passed over.
"""

from collections.abc import Collection
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from domain.errors import ModelUnavailable
from domain.geometry import Value
from domain.vision import Capability
from workers.registry import ModelSpec


class Part(Value):
    """Another checkpoint that a model stands on; `ModelSpec.checkpoints` gives it as a row of its own."""

    source: str = Field(min_length=1)
    """as a row's"""
    revision: str = "unpinned"


class Options(Value):
    """The options of every model that computes here; those of a family inherit it."""

    threads: int | None = Field(default=None, ge=1)
    """of torch, on a CPU"""
    compile: Literal["", "default", "reduce-overhead", "max-autotune"] = ""
    """the mode of torch.compile; with `reduce-overhead` a GPU runs CUDA graphs"""
    channels_last: bool = False
    """the layout of convolutional networks that GPUs favour"""


class Tempered(Options):
    """Options of a model whose scores come from logits, which the temperature of a calibration divides."""

    temperature: float = Field(default=1.0, gt=0)


def _with_place(text: str) -> str:
    if "{}" not in text:
        raise ValueError("a text needs a {} for what it is about")
    return text


Template = Annotated[str, AfterValidator(_with_place)]
"""A text around something."""

Schema = TypeVar("Schema", bound=BaseModel)


def options(spec: ModelSpec, schema: type[Schema], capabilities: Collection[Capability]) -> Schema:
    """Return the options of a row, checked. Raises ModelUnavailable on wrong ones, or another capability than these."""
    lacking = [capability for capability in spec.capabilities if capability not in capabilities]
    if lacking:
        raise ModelUnavailable(
            f"model {spec.name!r}: the family {spec.family!r} cannot {', '.join(lacking)}; it can "
            f"{', '.join(sorted(capabilities))}"
        )
    try:
        return schema.model_validate(dict(spec.options))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ModelUnavailable(f"model {spec.name!r}: its options are not right: {wrong}") from error
