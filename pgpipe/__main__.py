"""python -m pgpipe."""

from pgpipe.cli import main

main()
