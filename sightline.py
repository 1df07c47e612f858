"""The command `sightline`."""


def main() -> None:
    """Run the command."""
