"""`python -m myriad`: the same as the command `myriad`."""

from myriad.cli.main import main

if __name__ == "__main__":
    main(prog_name="myriad")
