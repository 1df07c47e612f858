"""The vocabulary of the embedded translator: one of pieces for all languages, learned from the world's own texts."""

import json
import warnings
from collections.abc import Iterable
from pathlib import Path

import sentencepiece
from transformers import MarianTokenizer

UNKNOWN, END, PAD = "<unk>", "</s>", "<pad>"


def pieces(texts: Iterable[str], size: int, languages: Iterable[str], folder: Path) -> MarianTokenizer:
    """Learn `size` pieces (Kudo 2018, unigram) and write them into a folder as Marian's tokenizer reads them.

    Figures are cut into their digits, so that each can be copied. A text begins with its target's `>>name<<`.
    """
    model = folder / "source.spm"
    with model.open("wb") as written:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=written,
            vocab_size=size,
            model_type="unigram",
            character_coverage=1.0,
            split_digits=True,
            bos_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    (folder / "target.spm").write_bytes(model.read_bytes())
    learned = sentencepiece.SentencePieceProcessor(model_file=str(model))
    known = [learned.id_to_piece(index) for index in range(learned.get_piece_size())]
    rest = [piece for piece in known if piece not in (UNKNOWN, END)]
    order = [END, UNKNOWN, *rest, *(f">>{language}<<" for language in languages), PAD]
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({piece: index for index, piece in enumerate(order)}, ensure_ascii=False), "utf-8")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
        return MarianTokenizer(
            source_spm=str(model), target_spm=str(folder / "target.spm"), vocab=str(vocabulary), model_max_length=128
        )
