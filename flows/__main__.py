"""`python -m flows`: the same as `millrace`."""

from __future__ import annotations

from flows.cli.app import app


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
