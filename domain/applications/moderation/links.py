"""Links, e-mail addresses, telephone numbers and handles in a text, and the usual ways of hiding them.

Looked for in the text as `folding.plain` gives it: without case, marks and invisible characters, look-alikes made
Latin. It is a search by patterns: what is no such thing can match (a file's name, an article number), and a way of
hiding that is not listed here does not.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from domain.applications.moderation.folding import Span, plain

Contact = Literal["link", "email", "phone", "handle"]

_TLD = (
    "com|net|org|info|biz|app|dev|page|site|online|store|shop|club|live|link|click|top|xyz|vip|win|fun|icu|buzz|blog|"
    "pro|tel|mobi|name|news|chat|cam|porn|xxx|bet|casino|example|invalid|test|onion|"
    "at|au|be|br|ca|cc|ch|cn|co|cz|de|dk|es|eu|fi|fr|gg|gl|gr|hu|ie|il|in|io|ir|is|it|jp|kr|la|li|lt|lu|lv|ly|me|mx|nl|"
    "no|nz|pl|pt|ro|ru|se|sg|sh|si|sk|su|to|tr|tv|tw|ua|uk|us|ws|za"
)
_DOT = r"(?:\.|\s?[(\[{<]\s?(?:\.|dot|punkt|point|punto)\s?[)\]}>]\s?)"
"""A dot, or one in brackets."""
_SPELLED_DOT = r"(?:\s(?:dot|punkt)\s|\s\.\s)"
"""A dot as a word of its own, which stands for one before a few endings only: `end . me` is no address."""
_SPELLED_TLD = "com|net|org|info|de|ru|io|example"
_NAME = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOTTED = rf"{_NAME}(?:{_DOT}{_NAME}){{0,4}}{_DOT}(?:{_TLD})(?![a-z0-9-])(?:\.{_NAME}){{0,4}}"
_SPELLED = rf"{_NAME}{_SPELLED_DOT}(?:{_SPELLED_TLD})(?![a-z0-9-])"
_HOST = rf"(?:{_DOTTED}|{_SPELLED})"
_PATH = r"(?::\d{2,5})?(?:[/?#][^\s<>\"']{0,500})?"
_LINK = re.compile(
    r"\b(?:(?:h..ps?|ftps?|wss?|ipfs|tg|intent)\s?:\s?//\s?[^\s<>\"']{3,500}|magnet:\?[^\s<>\"']{3,500})"
    rf"|(?<![@\w.-])(?:www{_DOT})?{_HOST}{_PATH}"
)
_AT = r"(?:\s?@\s?|\s?[(\[{<]\s?(?:at|@)\s?[)\]}>]\s?)"
_LOCAL = r"[a-z0-9](?:[a-z0-9._%+-]{0,62}[a-z0-9])?"
_EMAIL = re.compile(rf"(?<![\w.@])(?:{_LOCAL}{_AT}{_HOST}|{_LOCAL}\sat\s{_SPELLED})")
_PHONE = re.compile(r"(?<![\w.,/-])(?P<plus>\+|00)?\(?\d(?:[ \t().\-/]{0,3}\d){6,14}(?![\w]|[.,]\d)")
_CALLED = re.compile(r"(?:tel|phone|telefon|call|ring|mobile|handy|whats\s?app|signal|sms|text|fax|viber)\W{0,4}$")
_GROUPED = re.compile(r"\(?\d{3}\)?[ .\-]\d{3}[ .\-]\d{4}$")
_DATE = re.compile(r"\d{4}[./-]\d{1,2}[./-]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{4}")
_DECIMAL = re.compile(r"\d+[.,]\d+")
_HANDLE = re.compile(
    r"(?<![\w@.])@[a-z_][a-z0-9_.]{1,29}"
    r"|\b(?:insta(?:gram)?|ig|snap(?:chat)?|telegram|tiktok|kik|discord|whats\s?app|onlyfans)"
    r"(?:\s{0,2}[:=]\s{0,2}@?|\s{0,2}@)[a-z0-9_][a-z0-9_.]{1,29}"
)
_UNHIDDEN = ((re.compile(rf"{_DOT}|{_SPELLED_DOT}"), "."), (re.compile(rf"{_AT}|\sat\s"), "@"))


@dataclass(frozen=True, slots=True)
class Found:
    """A link or a way to reach somebody: where it stands in the text, and how it reads without its disguise."""

    kind: Contact
    span: Span
    reads: str


def contacts(text: str) -> list[Found]:
    """Return what a text has of links and ways to reach somebody, from the front, none within another."""
    folded = plain(text)
    found = [
        Found(kind, folded.span(start, end), reads)
        for kind, start, end, reads in (*_emails(folded.text), *_links(folded.text), *_others(folded.text))
    ]
    kept: list[Found] = []
    for one in sorted(found, key=lambda each: (each.span.start, -each.span.end)):
        if not kept or one.span.start >= kept[-1].span.end:
            kept.append(one)
    return kept


Match = tuple[Contact, int, int, str]


def _emails(text: str) -> Iterator[Match]:
    for match in _EMAIL.finditer(text):
        yield "email", match.start(), match.end(), _unhidden(match[0])


def _links(text: str) -> Iterator[Match]:
    for match in _LINK.finditer(text):
        reads = match[0].rstrip(".,;:!?)")
        yield "link", match.start(), match.start() + len(reads), "".join(_unhidden(reads).split())


def _others(text: str) -> Iterator[Match]:
    for match in _PHONE.finditer(text):
        digits = "".join(filter(str.isdigit, match[0]))
        before = text[max(match.start() - 16, 0) : match.start()]
        told = match["plus"] or digits.startswith("0") or _GROUPED.match(match[0]) or _CALLED.search(before)
        if told and not _DATE.match(match[0].strip("()")) and not _DECIMAL.fullmatch(match[0]):
            yield "phone", match.start(), match.end(), f"+{digits}" if match["plus"] == "+" else digits
    for match in _HANDLE.finditer(text):
        yield "handle", match.start(), match.end(), "".join(match[0].split())


def _unhidden(text: str) -> str:
    for pattern, sign in _UNHIDDEN:
        text = pattern.sub(sign, text)
    return text


def host(link: str) -> str:
    """Return the host of a link that `contacts` found, without `www.`; empty where it has none."""
    match = re.match(r"(?:[a-z.]{2,10}:(?://)?)?(?:[^/\\?#]*@)?([^/\\:?#]*)", link)
    return match[1].removeprefix("www.").rstrip(".") if match else ""


def within(name: str, hosts: "tuple[str, ...]") -> bool:
    """Say whether a host is one of these or lies beneath one."""
    return any(name == one or name.endswith(f".{one}") for one in hosts)
