"""What schemathesis has to be told of this API: how JSON lines are written."""

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def json_lines(_context: object, value: object) -> bytes | None:
    """Send the text that was made up as it is."""
    return None if value is None else str(value).encode("utf-8", "surrogatepass")
