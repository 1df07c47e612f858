"""Links and contact details are found in plain and in the usual disguises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.applications.moderation.links import contacts, host, within


@pytest.mark.parametrize(
    ("text", "kind", "quoted", "reads"),
    [
        ("visit www.shop.example.", "link", "www.shop.example", "www.shop.example"),
        ("https://shop.example/a?b=1, ok", "link", "https://shop.example/a?b=1", "https://shop.example/a?b=1"),
        ("hxxp://shop.example", "link", "hxxp://shop.example", "hxxp://shop.example"),
        ("magnet:?xt=urn:x", "link", "magnet:?xt=urn:x", "magnet:?xt=urn:x"),
        ("see shop (dot) com today", "link", "shop (dot) com", "shop.com"),
        ("see shop dot com today", "link", "shop dot com", "shop.com"),
        ("see shop[.]com", "link", "shop[.]com", "shop.com"),
        ("see sh\u043ep.com", "link", "sh\u043ep.com", "shop.com"),
        ("see sh\u200bop.com", "link", "sh\u200bop.com", "shop.com"),
        ("good.example.evil.zz", "link", "good.example.evil.zz", "good.example.evil.zz"),
        ("write to a.b@mail.example!", "email", "a.b@mail.example", "a.b@mail.example"),
        ("write to bob (at) mail (dot) com", "email", "bob (at) mail (dot) com", "bob@mail.com"),
        ("write to bob at mail dot com", "email", "bob at mail dot com", "bob@mail.com"),
        ("Tel 017 555 123", "phone", "017 555 123", "017555123"),
        ("+49 (30) 555-1234", "phone", "+49 (30) 555-1234", "+49305551234"),
        ("call 555 1234567 now", "phone", "555 1234567", "5551234567"),
        ("555-123-4567", "phone", "555-123-4567", "5551234567"),
        ("\uff10\uff11\uff17 555 1234", "phone", "\uff10\uff11\uff17 555 1234", "0175551234"),
        ("follow @some_body1", "handle", "@some_body1", "@some_body1"),
        ("insta: some.body", "handle", "insta: some.body", "insta:some.body"),
    ],
)
def test_a_way_to_reach_somebody_is_found_and_quoted_as_it_stood(text: str, kind: str, quoted: str, reads: str) -> None:
    (found,) = contacts(text)
    assert (found.kind, text[found.span.start : found.span.end], found.reads) == (kind, quoted, reads)


@pytest.mark.parametrize(
    "text",
    [
        "I am at home. Me too. End.Start of e.g. version 1.2.3 in report.pdf",
        "on 2024-01-15 or 12.03.2024 it cost 1,000,000 or 1.234.567,89 EUR",
        "pi is 3.1415926 and 0.1234567 is small; article 12345678",
        "it is done . me too",
        "tg: see you; https: is a scheme",
        "look at me, at 5 @ home",
    ],
)
def test_what_is_no_address_is_left_alone(text: str) -> None:
    assert contacts(text) == []


def test_two_numbers_on_two_lines_are_two() -> None:
    assert [one.reads for one in contacts("017 555 123\n+045 555 1234")] == ["017555123", "+0455551234"]


@pytest.mark.parametrize(
    ("link", "name"),
    [
        ("https://user@good.example@evil.example/x", "evil.example"),
        ("http://evil.example\\@good.example", "evil.example"),
        ("www.shop.example:8080/x", "shop.example"),
        ("https://shop.example.", "shop.example"),
    ],
)
def test_the_host_of_a_link_is_where_it_leads(link: str, name: str) -> None:
    assert host(link) == name


def test_a_host_lies_within_itself_and_what_it_lies_beneath_and_nothing_else() -> None:
    assert within("shop.example", ("shop.example",))
    assert within("a.shop.example", ("shop.example",))
    assert not within("myshop.example", ("shop.example",))
    assert not within("shop.example.evil.zz", ("shop.example",))


@given(st.text(st.sampled_from("ab01 .@:/+-()[]\n#wdotc\u0430\u200b"), max_size=80))
def test_whatever_the_text_what_is_found_lies_in_it_and_apart(text: str) -> None:
    ends = [0]
    for found in contacts(text):
        assert ends[-1] <= found.span.start < found.span.end <= len(text)
        ends.append(found.span.end)


@pytest.mark.parametrize(
    "text", ["a." * 9_000, "a-" * 9_000, "1 " * 9_000, "a@" * 9_000, "a dot " * 3_000, "@ " * 9_000]
)
def test_a_text_made_to_be_slow_is_searched_at_once(text: str) -> None:
    contacts(text)
