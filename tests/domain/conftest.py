"""Settings for the property tests of the domain."""

from hypothesis import settings

# A busy machine is slow now and then; what must be fast has a test of its own that says how fast.
settings.register_profile("domain", deadline=None)
settings.load_profile("domain")
