"""`python -m sfsc`: the command line, where the script `sfsc` is not at hand."""

from sfsc.cli import main

if __name__ == "__main__":
    main(prog_name="sfsc")
