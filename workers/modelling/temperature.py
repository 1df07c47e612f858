"""What a temperature does to a score that stands by itself: the logit of the score is divided by it."""

import math


def tempered(score: float, temperature: float) -> float:
    """Return a sigmoid's score in [0, 1] as it is at a temperature; its logit is divided by it. 0, 0.5 and 1 stay."""
    likelier = max(score, 1 - score)
    yes, no = (math.pow(share / likelier, 1 / temperature) for share in (score, 1 - score))
    return yes / (yes + no)
