"""`python -m codns.slave FD [--nofile N]`: started by the master's pool, not by hand."""

import sys

from codns.slave.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
