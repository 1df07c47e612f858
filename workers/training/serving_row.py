"""The row of a profile that has a trained model served."""

import tomlkit

from storage.promotions import PROMOTED
from storage.revisions import Revision


def serving_row(revision: Revision) -> str:
    """Return the row, as TOML, that serves whichever revision of this name is promoted."""
    facts = revision.facts
    row = tomlkit.table()
    row.update(
        {
            "name": revision.name,
            "family": facts.family,
            "capabilities": [one.value for one in facts.capabilities],
            "source": f"registered:{revision.name}",
            "revision": PROMOTED,
            "licence": facts.licence,
        }
    )
    if facts.options:
        options = tomlkit.inline_table()
        options.update(facts.options)
        row.add("options", options)
    rows = tomlkit.aot()
    rows.append(row)
    document = tomlkit.document()
    document.add("models", rows)
    return tomlkit.dumps(document)
