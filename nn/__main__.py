"""`python -m nn` is `cryptonets`."""

import sys

from nn.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
