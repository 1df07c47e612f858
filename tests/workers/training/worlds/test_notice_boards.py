import numpy as np

from workers.training.worlds.notice_boards import photographed
from workers.training.worlds.notices.drawing import Share


def test_the_same_seed_photographs_the_same_board_and_another_seed_another():
    one, same, other = photographed(1), photographed(1), photographed(2)

    assert np.array_equal(one.pixels, same.pixels)
    assert one.lines == same.lines
    assert not np.array_equal(one.pixels, other.pixels)


def test_a_board_says_its_notice_line_by_line_within_the_picture():
    for seed in range(25):
        shown = photographed(seed)
        said = " ".join(line.text for line in shown.lines)

        assert said.casefold() == shown.notice.say(shown.language).upper().casefold() or (
            said == shown.notice.say(shown.language)
        )
        assert all(0 <= x <= 480 and 0 <= y <= 360 for line in shown.lines for x, y in line.quad), said


def test_held_out_notices_can_be_photographed():
    assert photographed(3, Share.COMBINATION).notice.share is Share.COMBINATION
