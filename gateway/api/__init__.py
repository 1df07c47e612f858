"""The HTTP interface: one router per concern, put together in `app.py`."""
