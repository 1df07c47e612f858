"""What a call of a chat model says in words: the turns of a conversation, as the profile words them.

A question goes after its worked examples; options or a schema stand below it. How turns become a prompt is the
processor's matter (`prompts.py`).
"""

from collections.abc import Sequence

from PIL import Image
from pydantic import Field

from domain.errors import ModelError
from domain.schemas import Schema
from domain.vision import Capability
from workers.imaging.boxes_in_text import BoxFormat
from workers.modelling.checkpoint import one_picture, pictures
from workers.modelling.options import Options
from workers.modelling.prompts import Prompts, Turn, shown
from workers.modelling.wording import BY_SCHEMA, CAPTION, CHOOSE, GROUND_PROMPTS, filled, own_pictures, told_schema
from workers.models.family import Ask

BETWEEN = {BoxFormat.PALIGEMMA: " ; "}
"""What stands between phrases, where it is no comma."""


class Worded(Options):
    """The options of a row that say how questions are put."""

    max_pixels: int = Field(default=2_000_000, ge=1)
    ask_prompt: str = "{}"
    choose_prompt: str = ""
    schema_prompt: str = ""
    caption_prompt: str = CAPTION
    boxes: BoxFormat | None = None
    ground_prompt: str = ""


class Questions:
    """Puts calls into words. For many threads."""

    def __init__(self, worded: Worded, prompts: Prompts) -> None:
        self._worded, self._prompts = worded, prompts

    def turns(self, ask: Ask, options: Sequence[str]) -> list[Turn]:
        """Return the examples, and last what is asked.

        Raises ModelError on no question or picture, on an option given twice, and on texts that hold the model's signs.
        """
        turns = self._turns(ask, options)
        if not turns[-1].pictures:
            raise ModelError("a question needs a picture of its own")
        texts = [turn.question for turn in turns] + [turn.answer or "" for turn in turns[:-1]] + [*options]
        if not all(text.strip() for text in texts):
            raise ModelError(f"a question, an answer and an option need a word: {texts}")
        if len(set(options)) < len(options):
            raise ModelError(f"an option is given twice: {options}")
        self._prompts.refuse_signs(texts)
        return turns

    def _turns(self, ask: Ask, options: Sequence[str]) -> list[Turn]:
        views = tuple(shown(pixels, self._worded.max_pixels) for pixels in pictures(ask))
        if ask.capability == Capability.ASK:
            return self._asked(ask, views, options)
        if ask.capability == Capability.DRAFT:
            return [Turn(views, ask.arguments["instruction"])]
        one_picture(ask)
        if ask.capability == Capability.CAPTION:
            return [Turn(views, self._worded.caption_prompt)]
        boxes = self._worded.boxes or BoxFormat.JSON1000
        template = self._worded.ground_prompt or GROUND_PROMPTS[boxes]
        phrases = ask.arguments["phrases"]
        if not all(phrase.strip() for phrase in phrases):
            raise ModelError(f"a phrase needs a word: {phrases}")
        return [Turn(views, template.replace("{}", BETWEEN.get(boxes, ", ").join(phrases)))]

    def _asked(self, ask: Ask, views: tuple[Image.Image, ...], options: Sequence[str]) -> list[Turn]:
        examples, schema = tuple(ask.arguments.get("examples", ())), ask.arguments.get("schema")
        first = own_pictures(len(views), examples)
        told = [Turn((views[at],), self._question(text, options, schema), answer) for at, text, answer in examples]
        return [*told, Turn(views[first:], self._question(ask.arguments["question"], options, schema))]

    def _question(self, question: str, options: Sequence[str], schema: Schema | None) -> str:
        """Word a question; a model without a chat template is asked as it was trained."""
        worded, template = self._worded, self._worded.ask_prompt
        if options:
            template = worded.choose_prompt or (CHOOSE if self._prompts.templated else template)
        elif schema is not None:
            template = worded.schema_prompt or (BY_SCHEMA if self._prompts.templated else template)
        # An empty question stays empty whatever stands around it, to be refused.
        closed = {"options": ", ".join(options), "schema": told_schema(schema)}
        return filled(template, question, **closed) if question.strip() else ""
