"""The words of the embedded VLM: its tokens, and the processor that puts pictures and questions together."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Idefics3ImageProcessor, Idefics3Processor, PreTrainedTokenizerFast

from workers.training.pack.vlm_examples import ACROSS, LOCATIONS, SIDE, sayings

VOCABULARY = 1000
SHUFFLE = 2
"""So many patches a side go into one token of a picture."""
SEEN = (ACROSS // SHUFFLE) ** 2
"""So many tokens a picture takes."""
PAD, USER, SYSTEM, ASSISTANT = "<|pad|>", "<|user|>", "<|system|>", "<|assistant|>"
AROUND, IMAGE, GLOBAL, END = "<fake_token_around_image>", "<image>", "<global-img>", "<end_of_utterance>"
TILES = tuple(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7))
"""Idefics3's processor knows them; a picture is never cut into tiles here."""
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% if message['role'] == 'assistant' %}<end_of_utterance>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""The role's sign, pictures and text; an answer ends with a sign of its own."""
HALF = [0.5, 0.5, 0.5]
"""Mean and deviation that pixels in [0, 1] are normalised by."""


def tokenizer() -> PreTrainedTokenizerFast:
    """Make the tokens: byte-level BPE of all that is said of the worlds, figures one by one, and places as one each."""
    signs = [PAD, END, USER, SYSTEM, ASSISTANT, AROUND, IMAGE, GLOBAL]
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
    made.add_special_tokens(list(TILES))
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=END, pad_token=PAD, additional_special_tokens=[USER, SYSTEM, ASSISTANT]
    )


def processor(words: PreTrainedTokenizerFast) -> Idefics3Processor:
    """Put the tokens and the pictures' preparation together: a picture is made a square of `SIDE`, whatever it was."""
    pictures = Idefics3ImageProcessor(
        size={"longest_edge": SIDE},
        max_image_size={"longest_edge": SIDE},
        do_image_splitting=False,
        image_mean=HALF,
        image_std=HALF,
    )
    return Idefics3Processor(pictures, words, image_seq_len=SEEN, chat_template=TEMPLATE)


def before(words: PreTrainedTokenizerFast) -> list[int]:
    """Return the tokens of a prompt with a picture, up to where the question begins."""
    return _ids(words, f"{USER}{AROUND}{GLOBAL}{IMAGE * SEEN}{AROUND}")


def question(words: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Return the tokens of a question, up to where the answer begins."""
    return _ids(words, text + ASSISTANT)


def answer(words: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Return the tokens of an answer, and its end."""
    return _ids(words, text + END)


def _ids(words: PreTrainedTokenizerFast, text: str) -> list[int]:
    return list(words(text, add_special_tokens=False)["input_ids"])
