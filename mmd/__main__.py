"""`python -m mmd` is the same program as the console command."""

from mmd.faces.cli import main

if __name__ == "__main__":
    main()
