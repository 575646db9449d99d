"""Operators of our own: export and compile do not look into them."""

from collections.abc import Callable
from typing import Any

import torch


def opaque(name: str, compute: Callable[..., Any], fake: Callable[..., Any]) -> Callable[..., Any]:
    """Defines `paretodet::NAME`, which calls `compute`; `fake` makes outputs of the same shapes and types. Returns it.

    The operators of `torch.library.custom_op` do the same, but import torch's compiler when first called: more than a
    second of CPU time in each process (torch 2.13).
    """
    qualified = f"paretodet::{name}"
    torch.library.define(qualified, torch.library.infer_schema(compute, mutates_args=()))
    torch.library.impl(qualified, "default", compute)
    torch.library.register_fake(qualified, fake)
    return getattr(torch.ops.paretodet, name)
