"""Notices: what signs say, in six languages at once, put together from words and templates that are written here.

The world that the embedded translator is trained and measured on. `words.toml` has the words, `templates.toml` the
sentences, `grammar.py` the articles, contractions and agreement, `drawing.py` draws notices, `pairs.py` pairs of texts.
"""
