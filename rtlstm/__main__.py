"""`python -m rtlstm` is the command `rtlstm`."""

from rtlstm.cli import main

if __name__ == "__main__":
    main()
