"""Small tokenizers for the family `grounding`, of the very classes that its architectures are published with.

Their words are listed, not learned: the trainers of `tokenizers` break ties by chance, and the answers of random
weights would be others each time.
"""

import re
from string import ascii_lowercase, digits

from tokenizers import pre_tokenizers
from transformers import BertTokenizer, CLIPTokenizer

from tests.workers.models.toys import TEXTS

NUMBERED = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012, "?": 1029}
"""The tokens that have the same numbers in every checkpoint: Grounding DINO knows where phrases end by them."""
BERT_WORDS = 1100


def bert_tokenizer() -> BertTokenizer:
    """Return a BERT tokenizer that knows few words, those of `NUMBERED` under their numbers."""
    letters = ascii_lowercase + digits
    words = [*letters, *(f"##{letter}" for letter in letters), *re.findall("[a-z]{2,}", " ".join(TEXTS).lower())]
    free = (number for number in range(200, BERT_WORDS) if number not in NUMBERED.values())
    known = {**NUMBERED, **dict(zip(dict.fromkeys(words), free, strict=False))}
    unused = sorted(set(range(BERT_WORDS)) - set(known.values()))
    return BertTokenizer(vocab={**known, **{f"[unused{number}]": number for number in unused}})


def clip_tokenizer() -> CLIPTokenizer:
    """Return a CLIP tokenizer that spells every word; as in the real one, `!` comes first and what ends a text last."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={piece: number for number, piece in enumerate(pieces)}, merges=[], model_max_length=16)
