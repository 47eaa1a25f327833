"""`python -m benchmarks` is the console script `ravine`."""

import sys

from benchmarks.command import main

sys.exit(main())
