"""Published architectures at toy size: small tokenizers trained on the spot, and folders as a hub would hold them."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from domain.vision import Capability
from workers.hub import digest
from workers.registry import ModelSpec

TEXTS = (
    "a photo of a cat, a dog and a red car in front of the old house",
    "how many benches are there? yes no one two three four five six",
    "where is the scratch? the scratch is on the left side of the plate, above the hole",
    "user assistant system: describe the picture in a sentence. <loc> 0 1 2 3 4 5 6 7 8 9 [ ] { } ( ) , . ; : ' \" / -",
    "The quick brown fox jumps over the lazy dog. ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxyz",
)
"""What the tokenizers learn from: all letters, digits, and the words that the tests use."""


CLIP_ENDS = ("<|startoftext|>", "<|endoftext|>")


def clip_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with CLIP's signs; its end pads as well."""
    start, end = CLIP_ENDS
    bytes_of = byte_level(start, end, ends=CLIP_ENDS)
    return PreTrainedTokenizerFast(tokenizer_object=bytes_of, bos_token=start, eos_token=end, pad_token=end)


def byte_level(*special: str, words: int = 400, ends: tuple[str, str] | None = None) -> Tokenizer:
    """Return a byte-level BPE tokenizer, as CLIP, Qwen, Llama 3 and most chat models have; `ends` go around a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=words, special_tokens=list(special), initial_alphabet=alphabet)
    )
    if ends:
        first, last = ends
        told = [(name, tokenizer.token_to_id(name)) for name in ends]
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{first} $A {last}", special_tokens=told)
    return tokenizer


def word_piece(*special: str) -> Tokenizer:
    """Return a lower-casing WordPiece tokenizer, as BERT and its kin have, with [CLS] and [SEP] around a text.

    Its words are listed, not learned: the trainer breaks ties by chance, and random weights would answer otherwise
    each time. It knows every word of TEXTS, and spells others.
    """
    normalizer, split = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    words = [word for text in TEXTS for word, _ in split.pre_tokenize_str(normalizer.normalize_str(text))]
    letters = sorted(set("".join(words)))
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *special, *letters, *(f"##{it}" for it in letters), *words]
    numbers = {piece: number for number, piece in enumerate(dict.fromkeys(known))}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, split
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(known[: 5 + len(special)])
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return tokenizer


def unigram(*special: str) -> Tokenizer:
    """Return a SentencePiece-like tokenizer (spaces as ▁), as SigLIP, PaliGemma, T5 and Llama 2 have.

    Its pieces are words and letters by how often they stand in TEXTS; listed, not learned, as those of `word_piece`.
    """
    split = pre_tokenizers.Metaspace()
    words = Counter(f"▁{word}" for word in re.findall(r"\w+", " ".join(TEXTS)))
    letters = Counter("".join(piece for text in TEXTS for piece, _ in split.pre_tokenize_str(text)))
    counted = {**dict(sorted(letters.items())), **words}
    kept = ["<pad>", "</s>", "<unk>", "<s>", *special]
    scored = [(piece, math.log(count / letters.total())) for piece, count in counted.items()]
    tokenizer = Tokenizer(models.Unigram([*((name, 0.0) for name in kept), *scored], unk_id=kept.index("<unk>")))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(kept)
    return tokenizer


def saved(folder: Path, model: Any, *processors: Any, seed: int = 0) -> Path:
    """Save a model with random weights of that seed, and what prepares its input, as a hub's repository holds them.

    `model` is a function that makes it, so that the seed decides its weights.
    """
    torch.manual_seed(seed)
    model().eval().save_pretrained(folder, safe_serialization=True)
    for processor in processors:
        processor.save_pretrained(folder)
    return folder


def spec_of(folder: Path, family: str, capabilities: Sequence[Capability], **fields: Any) -> ModelSpec:
    """Return the row of a profile that names such a folder."""
    told = {"name": "toy", "licence": "none", "source": str(folder), "revision": digest(folder), **fields}
    return ModelSpec(family=family, capabilities=tuple(capabilities), **told)
