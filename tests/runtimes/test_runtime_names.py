"""The names of runtimes, which are known without importing one."""

import subprocess
import sys

from paretodet.runtimes.names import CLASSES
from paretodet.runtimes.table import RUNTIMES


def test_every_class_has_the_name_that_it_is_listed_by() -> None:
    assert [kind.name for kind in RUNTIMES] == list(CLASSES)


def test_the_names_need_no_torch() -> None:
    code = "import sys, paretodet.runtimes.names; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
