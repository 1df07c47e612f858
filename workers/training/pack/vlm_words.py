"""The words of the embedded VLM: its tokens, and the processor that puts pictures and questions together."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import CLIPImageProcessor, LlavaProcessor, PreTrainedTokenizerFast

from workers.training.pack.eye import HALF
from workers.training.pack.vlm_examples import ACROSS, LOCATIONS, PATCH, SIDE, sayings

VOCABULARY = 1000
SEEN = ACROSS**2
"""So many tokens a picture takes, one for each place that the eye tells apart."""
PAD, USER, SYSTEM, ASSISTANT = "<|pad|>", "<|user|>", "<|system|>", "<|assistant|>"
IMAGE, END = "<image>", "<|end|>"
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% if message['role'] == 'assistant' %}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""The role's sign, pictures and text; an answer ends with a sign of its own."""


def tokenizer() -> PreTrainedTokenizerFast:
    """Make the tokens: byte-level BPE of all that is said of the worlds, figures one by one, and places as one each."""
    signs = [PAD, END, USER, SYSTEM, ASSISTANT, IMAGE]
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=signs,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(sayings(), trainer)
    made.add_tokens(list(LOCATIONS))
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=END, pad_token=PAD, additional_special_tokens=[USER, SYSTEM, ASSISTANT]
    )


def processor(words: PreTrainedTokenizerFast) -> LlavaProcessor:
    """Put the tokens and the pictures' preparation together: a picture is made a square of `SIDE`, whatever it was."""
    square = {"height": SIDE, "width": SIDE}
    pictures = CLIPImageProcessor(size=square, do_center_crop=False, image_mean=[HALF] * 3, image_std=[HALF] * 3)
    return LlavaProcessor(
        pictures, words, patch_size=PATCH, vision_feature_select_strategy="full", chat_template=TEMPLATE
    )


def before(words: PreTrainedTokenizerFast) -> list[int]:
    """Return the tokens of a prompt with a picture, up to where the question begins."""
    return _ids(words, f"{USER}{IMAGE * SEEN}")


def question(words: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Return the tokens of a question, up to where the answer begins."""
    return _ids(words, text + ASSISTANT)


def answer(words: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Return the tokens of an answer, and its end."""
    return _ids(words, text + END)


def _ids(words: PreTrainedTokenizerFast, text: str) -> list[int]:
    return list(words(text, add_special_tokens=False)["input_ids"])
