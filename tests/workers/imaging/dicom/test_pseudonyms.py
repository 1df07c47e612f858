from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from workers.imaging.dicom.dates import checked_time, earlier_date, earlier_datetime
from workers.imaging.dicom.pseudonyms import days_back, mapped_patient, mapped_uid

SECRETS = st.binary(min_size=16, max_size=64)
NAMES = st.text(max_size=64)


@given(SECRETS, NAMES)
def test_a_uid_maps_to_a_valid_uid_and_always_to_the_same(secret, uid):
    found = mapped_uid(secret, uid)

    assert UID(found).is_valid
    assert found.startswith("2.25.")
    assert len(found) <= 64
    assert int(found[5:]) < 2**128
    assert mapped_uid(secret, uid) == found


@given(SECRETS, st.sets(st.from_regex(r"1\.2\.[1-9][0-9]{0,9}", fullmatch=True), min_size=2, max_size=9))
def test_different_uids_stay_different(secret, uids):
    assert len({mapped_uid(secret, uid) for uid in uids}) == len(uids)


@given(SECRETS, SECRETS, NAMES)
def test_two_secrets_have_nothing_in_common(one, other, name):
    if one != other:
        assert mapped_uid(one, name) != mapped_uid(other, name)
        assert mapped_patient(one, name) != mapped_patient(other, name)


@given(SECRETS, NAMES)
def test_the_shift_is_between_one_day_and_ten_years(secret, patient):
    assert 1 <= days_back(secret, patient) <= 3650


def test_the_shift_follows_the_patient_and_the_padding_of_the_number_does_not_matter():
    secret = bytes(range(32))

    assert len({days_back(secret, str(patient)) for patient in range(200)}) > 150
    assert days_back(secret, "4711 ") == days_back(secret, "4711")


def test_a_secret_that_could_be_guessed_is_refused():
    with pytest.raises(ValueError, match="16 bytes"):
        mapped_uid(b"short", "1.2.3")


@given(st.dates(date(1900, 1, 1)), st.dates(date(1900, 1, 1)), st.integers(1, 3650))
def test_dates_move_together_and_keep_their_distance(one, other, days):
    moved = [earlier_date(f"{day:%Y%m%d}", days) for day in (one, other)]

    assert [date.fromisoformat(day) + timedelta(days=days) for day in moved] == [one, other]


@given(st.text(max_size=12), st.integers(1, 3650))
def test_whatever_is_no_date_becomes_nothing(value, days):
    found = earlier_date(value, days)

    assert found == "" or (len(found) == 8 and found.isdigit() and value.strip()[:4].isdigit())


NO_DAYS = ["", "MARK-1", "20230230", "19991301", "2023", "202301", "00010105", "20230101-20230301"]


@pytest.mark.parametrize("value", NO_DAYS)
def test_a_day_that_never_was_is_emptied(value):
    assert earlier_date(value, 3650) == ""


@pytest.mark.parametrize(
    ("value", "times", "expected"),
    [
        ("20240301", True, "20240229"),
        ("2024.03.01", True, ""),
        ("20240301123456.5+0100", True, "20240229123456.5"),
        ("20240301123456.5+0100", False, "20240229"),
        ("20240301MARK", True, "20240229"),
        ("202403", True, ""),
        ("MARK-1", True, ""),
    ],
)
def test_a_moment_loses_its_zone_and_its_time_unless_that_is_kept(value, times, expected):
    assert earlier_datetime(value, 1, times=times) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1230", "1230"), ("235959.123456", "235959.123456"), ("2460", ""), ("MARK", ""), ("12:30", ""), ("", "")],
)
def test_a_time_is_kept_where_it_is_one(value, expected):
    assert checked_time(value) == expected


def test_an_old_way_of_writing_a_date_is_understood():
    assert earlier_date("1999.12.31", 365) == "19981231"
