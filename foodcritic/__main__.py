"""`python -m foodcritic` is `foodcritic`."""

from foodcritic.cli import app

app()
