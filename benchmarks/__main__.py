"""`python -m benchmarks` is the console script `ravine`."""

import sys

from benchmarks.cli.main import main

sys.exit(main())
