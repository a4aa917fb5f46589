"""The program `fgdata`, also as `python -m pipeline`: it heeds signals before anything heavy is imported."""

from pipeline.commands.supervise import from_the_start


def main() -> None:
    """Run the command line and exit with its code."""
    from_the_start()
    from pipeline import cli

    cli.main()


if __name__ == "__main__":
    main()
