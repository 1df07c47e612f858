"""The family `langid`: which language a text is in, with py3langid (BSD), for `Capability.IDENTIFY`.

Signs are short, and a guess is worse than no answer: fewer than eight letters are never answered (of the words on signs
many belong to two languages), and neither is a text whose best candidate stays below a probability of 0.7. py3langid
divides the logarithms by the root of the length before it normalises, so the bound means the same for long and short.
"""

from collections.abc import Sequence
from hashlib import sha256

from py3langid.langid import MODEL_DIR, MODEL_FILE, LanguageIdentifier

from domain.errors import ModelError, ModelUnavailable
from domain.vision import Language
from workers.models.family import Ask, Prepared, ScoreKind
from workers.registry import ModelSpec


def load(spec: ModelSpec) -> "Identifier":
    """Check the packaged model and load it (about 0.8 s).

    Raises ModelUnavailable where the file is not the one that the profile names.
    """
    path = MODEL_DIR / MODEL_FILE
    found = f"sha256:{sha256(path.read_bytes()).hexdigest()}" if path.is_file() else "missing"
    if found != spec.revision:
        raise ModelUnavailable(
            f"model {spec.name!r}: {path} is {found}, the profile names {spec.revision}; "
            f"install the py3langid of requirements.lock or correct the profile"
        )
    return Identifier(spec)


class Identifier:
    """The loaded model.

    Options of the profile: `min_letters` (default 8) and `min_score` (default 0.7), below which there is no answer.
    """

    preprocessing = "langid-letters-1"
    scores = ScoreKind.SOFTMAX
    dtype = "float32"
    device = "cpu"
    classes: tuple[str, ...] = ()

    def __init__(self, spec: ModelSpec) -> None:
        self._min_letters = int(spec.options.get("min_letters", 8))
        self._min_score = float(spec.options.get("min_score", 0.7))
        self._identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        self._known = frozenset(self._identifier.labels)

    def prepare(self, ask: Ask) -> Prepared:
        """Check the arguments `text` and `candidates`. Raises ModelError on a candidate that the model cannot tell."""
        text = str(ask.arguments.get("text", ""))
        candidates = tuple(sorted(set(ask.arguments.get("candidates", ()))))
        unknown = [code for code in candidates if code not in self._known]
        if unknown:
            raise ModelError(f"this model cannot tell the languages {unknown}; leave them out of the candidates")
        return Prepared(payload=text, group=candidates, pixels=1)

    def run(self, batch: Sequence[Prepared]) -> list[Language | None]:
        """Return the language of each text, or None where it cannot be told."""
        candidates = batch[0].group
        if not candidates:
            return [None for _ in batch]
        self._identifier.set_languages(candidates)
        return [self._identify(prepared.payload) for prepared in batch]

    def close(self) -> None:
        """Release the model."""
        del self._identifier

    def _identify(self, text: str) -> Language | None:
        if sum(letter.isalpha() for letter in text) < self._min_letters:
            return None
        code, score = self._identifier.rank(text)[0]
        return Language(code=code, score=min(float(score), 1.0)) if score >= self._min_score else None
