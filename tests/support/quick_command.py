"""`chancery serve command` whose password hashes cost next to nothing: for runs that are about everything else.

The code is the product's own; only Argon2's two cost numbers are others, in this process alone.
"""

import sys

from cli.main import main
from runtime import passwords

if __name__ == "__main__":
    vars(passwords).update(MEMORY_KIB=64, PASSES=1)
    sys.argv = ["chancery", "serve", "command"]
    main()
