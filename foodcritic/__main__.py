"""The program: `foodcritic`, and `python -m foodcritic`."""

import signal


def main() -> None:
    """Run the command line."""
    # Imports take a second and leave nothing behind: Ctrl-C just ends them, with no traceback.
    heard = signal.getsignal(signal.SIGINT)
    if heard is signal.default_int_handler:  # else it is to be ignored, or somebody else's
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from foodcritic.cli import app

    signal.signal(signal.SIGINT, heard)
    app()


if __name__ == "__main__":
    main()
