"""The languages that the application takes, by ISO 639-1 code.

They are those that the reading model has letters for: Latin script, Chinese and Japanese. The phrasebook knows the six
of `PHRASEBOOK`; for the others a sign needs the tenant's memory or a translation model.
"""

NAMES = {
    "ca": "Catalan",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "eu": "Basque",
    "fi": "Finnish",
    "fr": "French",
    "gl": "Galician",
    "hr": "Croatian",
    "hu": "Hungarian",
    "id": "Indonesian",
    "is": "Icelandic",
    "it": "Italian",
    "ja": "Japanese",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sq": "Albanian",
    "sv": "Swedish",
    "tr": "Turkish",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
"""Code -> English name."""

PHRASEBOOK = ("en", "es", "fr", "de", "it", "pt")
"""The languages of the phrasebook."""

AUTO = "auto"
"""As a source: whatever language the sign is in."""


def supported(code: str, *, auto: bool = False) -> str:
    """Return the code.

    Raises ValueError, which names the value and the choices, where there is no such language.
    """
    choices = ([AUTO] if auto else []) + list(NAMES)
    if code not in choices:
        raise ValueError(
            f"{code!r} is not a language that signs are translated between; use one of {', '.join(choices)}"
        )
    return code
