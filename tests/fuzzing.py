"""Fuzzes readers of files of unknown origin: whatever a file holds, its reader takes little time and memory.

The short tier gives every reader twice `SHORT_S` (the fixture `half`), the full tier a minute;
`PARETODET_FUZZ_S=600 scripts/test --full -k for_long` gives each ten.
"""

import gc
import os
import resource
import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SHORT_S = 2.5
LONG_S = float(os.environ.get("PARETODET_FUZZ_S", "60"))
MAX_S, MAX_BYTES = 2, 500 * 2**20  # of CPU time and memory, for one file
RETRIES = 3  # of a read that took longer: the system may have looked for memory meanwhile
FLIPS = st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 7)), max_size=8)
PLACE = st.one_of(st.integers(0, 64), st.integers(0, 2**31))  # errors are most likely in headers


def damaged(*wholes):
    """One of the files with some bits flipped, cut short or with noise inside of it; or noise alone."""
    whole, noise = st.sampled_from(wholes), st.binary(max_size=200)
    return st.one_of(
        noise,
        st.builds(_flipped, whole, FLIPS),
        st.builds(lambda content, flips, place: _flipped(content, flips)[: place % len(content)], whole, FLIPS, PLACE),
        st.builds(_with_noise, whole, noise, PLACE),
    )


def fuzz(contents, read, seconds):
    """Calls `read` with as many of the contents as possible in this time; the list of what it returned.

    A failed assertion, any error that `read` does not catch, and a content that takes too much fail the test.
    """
    found, end = [], None

    def timed(content):
        begun = time.thread_time()
        return read(content), time.thread_time() - begun

    @settings(max_examples=300, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(contents)
    def run(content):
        nonlocal end
        end = end or time.process_time() + seconds  # hypothesis may take a second to prepare its first example
        if time.process_time() < end:
            memory = _peak()
            result, spent = timed(content)
            assert spent < MAX_S or min(timed(content)[1] for _ in range(RETRIES)) < MAX_S
            assert _peak() - memory < MAX_BYTES
            found.append(result)

    gc.collect()
    gc.freeze()  # what other tests left takes seconds to look through, whenever a read happens to start a collection
    try:
        run()
        while time.process_time() < end:
            run()
    finally:
        gc.unfreeze()
    return found


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _flipped(content, flips):
    changed = bytearray(content)
    for place, bit in flips:
        changed[place % len(changed)] ^= 1 << bit
    return bytes(changed)


def _with_noise(content, noise, place):
    place %= len(content) + 1
    return content[:place] + noise + content[place:]
