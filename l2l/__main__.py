"""`python -m l2l`: see `l2l.cli`."""

import sys
import warnings

from l2l.cli import main

if __name__ == "__main__":
    warnings.formatwarning = lambda message, *_, **__: f"l2l: {message}\n"
    sys.exit(main())
