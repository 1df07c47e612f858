"""Letters of other scripts that look like Latin ones, and signs that are written in a letter's place.

The pairs are those that readers take for each other in common typefaces; what Unicode itself calls compatible (full
width, mathematical, circled letters) is left to its normal form NFKD.
"""

from types import MappingProxyType

CYRILLIC = dict(zip("авекмнорстухѕіјԁһԛԝғп", "abekmhopctyxsijdhqwfn", strict=True))
GREEK = dict(zip("αβγεηικνορτυχω", "abyenikvoptuxw", strict=True))
ARMENIAN = dict(zip("աոսցօհեզ", "wnugohtq", strict=True))
SMALL_CAPITALS = dict(zip("ʏʟɴʀɪʜɢʙᴀᴄᴅᴇᴊᴋᴍᴏᴘᴛᴜᴠᴡᴢꜰꜱ", "ylnrihgbacdejkmoptuvwzfs", strict=True))
LATIN = dict(zip("ıɩɡɑɛɔøłđħŧƒð", "iigaecoldhtfd", strict=True)) | {"æ": "ae", "œ": "oe"}
LOOK_ALIKES = MappingProxyType(CYRILLIC | GREEK | ARMENIAN | SMALL_CAPITALS | LATIN)
"""By a small letter, the Latin letters that it looks like."""

SIGNS = MappingProxyType(
    {"a": "4@", "b": "8", "e": "3€", "g": "9", "i": "1!|", "l": "1|", "o": "0", "s": "5$", "t": "7+", "z": "2"}
)
"""By a Latin letter, the digits and signs that are written in its place."""
