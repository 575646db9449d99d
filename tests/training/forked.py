"""Runs code as every process of a group, with one import of torch for all: `forked.py PROCESSES FOLDER CODE`.

What a process prints is in the file of its rank in FOLDER.
"""

import os
import sys
import traceback
from pathlib import Path

import torch
from distributed_subject import Run, train

NAMES = {"Run": Run, "train": train}  # that the code may use without an import


def child(rank, processes, folder, code):
    os.environ |= {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes}
    os.dup2(os.open(folder / rank, os.O_WRONLY | os.O_CREAT), 1)
    status = 1
    try:
        exec(code, dict(NAMES))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:  # it never returns into what the parent process does
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    torch.set_num_threads(1)
    processes, folder, code = sys.argv[1:]
    children = []
    for rank in map(str, range(int(processes))):
        if not (number := os.fork()):
            child(rank, processes, Path(folder), code)
        children.append(number)
    ended = [os.waitpid(number, 0)[1] for number in children]
    sys.exit(int(any(ended)))
