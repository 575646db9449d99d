"""How long the readers of files of unknown origin are fuzzed in the full tier, each of them.

`PARETODET_FUZZ_S=600 scripts/test -k for_long` gives each reader ten minutes.
"""

import os

LONG_S = float(os.environ.get("PARETODET_FUZZ_S", "60"))
