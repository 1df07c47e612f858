"""The catalogue of guards is true: each is in the code as it says, and some test names it."""

import re
from pathlib import Path

import pytest

from tests.guards.catalogue import GUARDS, Guard

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_stands_in_the_code_where_the_catalogue_says(guard: Guard) -> None:
    text = (ROOT / guard.file).read_text()

    assert text.count(guard.code) == 1
    compile(text.replace(guard.code, guard.without), guard.file, "exec")


def test_every_guard_is_held_by_a_test_that_names_it_and_no_test_names_another() -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"mark\.guard\(\"([^\"]+)\"\)", tests))

    assert named == {guard.name for guard in GUARDS}
