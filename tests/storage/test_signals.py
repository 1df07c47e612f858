"""Hashes in the texts that ThreatExchange's and PDQ's tools write."""

import pytest

from domain.errors import InvalidRequest
from storage import signals
from storage.signals import Kind, Signal, as_csv, as_plain, checked, parse

PDQ = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
OTHER = "e64cc9d91c623882f8d1f1d9a398e78c9f199b3bd83924f2b7e11e0bf861b064"
PHASH = "c3b5d2a4968f0e71"


def test_a_plain_file_has_a_hash_in_each_line_whatever_its_letters_and_ends():
    read = parse([f"{PDQ.upper()}\r\n", "\n", f"  {OTHER}"])

    assert read.signals == [Signal(Kind.PDQ, PDQ), Signal(Kind.PDQ, OTHER)]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (f"{PDQ},100,photos/bridge.jpg", True),
        (f"{PDQ},50", True),
        (f"{PDQ},49,dull.jpg", False),
        (f"{PDQ},dull.jpg", True),
        (f"hash={PDQ},norm=128,delta=0,quality=12,filename=a.jpg", False),
        (f"hash={PDQ},norm=128,delta=0,quality=80,filename=a.jpg", True),
    ],
)
def test_what_pdqs_tools_print_is_read_and_dull_hashes_are_left_out(line, kept):
    read = parse([line])

    assert read == (([Signal(Kind.PDQ, PDQ)], 0) if kept else ([], 1))


def test_a_type_before_the_hash_goes_before_the_kind_that_is_told():
    read = parse([f"pdq {PDQ}\n", f"{OTHER}\n", f"phash {PHASH}\n"], Kind.SHA256)

    assert [signal.kind for signal in read.signals] == [Kind.PDQ, Kind.SHA256, Kind.PHASH]


def test_csv_is_read_by_its_header_with_tags_as_labels_and_without_what_is_not_meant():
    # given a file as `threatexchange dataset -P --csv` prints it
    lines = [
        "\ufeffsignal_type,signal_str,collab,category,tags\r\n",
        f'pdq,{PDQ},"Sample, Signals",POSITIVE_CLASS,bridge seen-twice\r\n',
        f"HASH_SHA256,{OTHER},x,,\r\n",
        f"pdq,{OTHER},x,NEGATIVE_CLASS,\r\n",
        f"pdq,{OTHER},x,INVESTIGATION_SEED,\r\n",
    ]
    # when it is read
    read = parse(lines)
    # then rows that say what is meant are taken
    assert read.signals == [Signal(Kind.PDQ, PDQ, ("bridge", "seen-twice")), Signal(Kind.SHA256, OTHER)]
    assert read.left_out == 2


@pytest.mark.parametrize(
    ("lines", "line", "value"),
    [
        ([PDQ, "", "not-a-hash"], 3, "not-a-hash"),
        ([PDQ, PDQ[:-1]], 2, PDQ[:-1]),
        ([f"video_md5 {PDQ}"], 1, "video_md5"),
        ([f"phash {PDQ}"], 1, PDQ),
        (["signal_type,signal_str", f"pdq,{PDQ}", "pdq,"], 3, ""),
        (["signal_type,signal_str", f",{PDQ}"], 2, "-"),
        (["signal_str,signal_type,tags", f"{PDQ},pdq,{'x' * 65}"], 2, PDQ),
    ],
)
def test_a_bad_line_is_named_with_its_value(lines, line, value):
    with pytest.raises(InvalidRequest) as refused:
        parse([f"{each}\n" for each in lines])

    assert (refused.value.details["line"], refused.value.details["value"]) == (line, value)
    assert f"line {line}:" in refused.value.message


def test_a_csv_line_that_is_none_is_refused():
    with pytest.raises(InvalidRequest, match="line 2"):
        parse(["signal_type,signal_str\n", f'pdq,"{"x" * 200_000}"\n'])


def test_more_than_can_be_imported_at_once_is_refused(monkeypatch):
    monkeypatch.setattr(signals, "MOST_SIGNALS", 2)

    with pytest.raises(InvalidRequest, match="more than 2"):
        parse([PDQ, PDQ, PDQ])


def test_nothing_is_read_from_an_empty_file():
    assert parse([]) == ([], 0)
    assert parse(["\n", "  \n"]) == ([], 0)


@pytest.mark.parametrize("labels", [["a b"], [""], ["x" * 65], ["a\0"], ["\u200b"], ["x"] * 21])
def test_what_is_no_label_is_refused(labels):
    with pytest.raises(InvalidRequest, match="label"):
        checked(Kind.PDQ, PDQ, labels)


def test_what_was_written_is_read_again():
    kept = [Signal(Kind.PDQ, PDQ, ("a", 'b"c')), Signal(Kind.SHA256, OTHER), Signal(Kind.PHASH, PHASH)]

    assert parse(as_csv("harmful", kept)).signals == kept
    assert parse(as_plain(kept)).signals == [Signal(kind, value) for kind, value, _ in kept]
