"""Transfer syntaxes: what they are called, and the refusal of those that nothing installed here unpacks."""

from pydicom.uid import UID, JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

from domain.errors import TransferSyntaxRefused

EXTRA = "dicom-jpeg"
HELPED = (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes)
"""The transfer syntaxes that the extra unpacks."""


def registered_name(uid: UID) -> str | None:
    """Return the name that the standard gives a UID; what a file calls a UID may be any text, and has none."""
    return uid.name if uid.name != str(uid) else None


def plain_uid(syntax: UID) -> str:
    """Return a UID as it may stand in a message: digits and dots, or the word that it is malformed."""
    return str(syntax) if syntax.is_valid else "a malformed UID"


def syntax_name(syntax: UID) -> str:
    """Return the name and UID of a transfer syntax; of one that the standard does not know, its UID alone."""
    known = registered_name(syntax)
    return f"{known}, {plain_uid(syntax)}" if known else plain_uid(syntax)


def refused(syntax: UID, name: str) -> TransferSyntaxRefused:
    """Return the error for a file in a transfer syntax that nothing unpacks, with what would help."""
    if syntax in HELPED:
        advice = f"install the extra `{EXTRA}` (GPL-3.0), or export it uncompressed"
    elif syntax in JPEG2000TransferSyntaxes:
        advice = "install pylibjpeg-openjpeg, or export it uncompressed"
    else:
        advice = "export it uncompressed"
    return TransferSyntaxRefused(
        f"{name} is packed as {syntax_name(syntax)}, which nothing installed here unpacks: {advice}",
        image=name,
        transfer_syntax=plain_uid(syntax),
        transfer_syntax_name=registered_name(syntax),
    )
