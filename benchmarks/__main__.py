"""`python -m benchmarks` is the console script `ravine`."""

import sys
from pathlib import Path

# As for the script: `python -m` imports from the working directory first, in which Ravine need not lie.
if sys.path[:1] == [str(Path.cwd())] and Path.cwd() != Path(__file__).resolve().parents[1]:
    del sys.path[0]

from benchmarks.cli.main import main

sys.exit(main())
