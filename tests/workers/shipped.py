"""The models that ship, loaded as a worker loads them."""

from collections.abc import Iterator
from contextlib import contextmanager

from domain.vision import Capability
from workers.models import family
from workers.models.family import Model
from workers.registry import load_profile


@contextmanager
def shipped(capability: Capability) -> Iterator[Model]:
    """Load the embedded profile's model for a capability, and close it at the end."""
    spec = load_profile("embedded").find(capability)
    assert spec is not None
    model = family.load(spec)
    yield model
    model.close()
