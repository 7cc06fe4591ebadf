"""`python -m pipeline VERB`, and the command `vae VERB` of an installation."""

from pipeline import command_line


def main() -> None:
    """Run a verb."""
    with command_line():
        from pipeline.cli import app

        app()


if __name__ == "__main__":
    main()
