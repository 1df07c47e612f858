"""Drawn notices as a labelled set on disk: a JSONL file of pairs of texts."""

import json
from itertools import islice
from pathlib import Path

from domain.errors import InvalidRequest
from workers.training.worlds.notices.drawing import Share
from workers.training.worlds.notices.pairs import held_out_pairs, training_pairs


def write(file: Path, count: int, seed: int, share: Share) -> Path:
    """Draw `count` pairs of a share into a file; a line's `group` is what was drawn, the same in every language.

    Raises InvalidRequest where the file exists already.
    """
    if file.exists():
        raise InvalidRequest(f"{file} exists already; choose another file or remove it")
    file.parent.mkdir(parents=True, exist_ok=True)
    drawn = training_pairs(seed) if share is Share.TRAINING else held_out_pairs(seed, share, count)
    with file.open("w", encoding="utf-8") as lines:
        for pair in islice(drawn, count):
            told = {
                "source": pair.source,
                "target": pair.target,
                "from": pair.source_language,
                "to": pair.target_language,
                "group": pair.group,
            }
            lines.write(f"{json.dumps(told, ensure_ascii=False)}\n")
    return file
