"""Geometry of boxes: conversion, clipping, area and overlap. Boxes are xyxy; a box without area overlaps nothing."""

import torch
from torch import Tensor


def center_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """xyxy [..., 4] -> center (x, y) [..., 2] and size (width, height) [..., 2], px."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2, high - low


def from_center(center: Tensor, size: Tensor) -> Tensor:
    """Center (x, y) and size (width, height), [..., 2] each -> xyxy [..., 4]."""
    return torch.cat([center - size / 2, center + size / 2], -1)


def clip(boxes: Tensor, sizes: Tensor) -> Tensor:
    """boxes [B, ..., 4] clipped to their images; sizes [B, 2] = (height, width), px."""
    limits = sizes.flip(-1).repeat(1, 2).to(boxes.dtype)
    limits = limits.view(sizes.shape[0], *[1] * (boxes.dim() - 2), 4)
    return torch.minimum(boxes.clamp(min=0), limits)


def contained(boxes: Tensor, sizes: Tensor) -> Tensor:
    """[N, 4] or [B, N, 4] -> [B, N] bool: whether a box lies inside its image; sizes [B, 2] as in `clip`."""
    return (boxes[..., :2] >= 0).all(-1) & (boxes[..., 2:] <= sizes.flip(-1)[:, None]).all(-1)


def area(boxes: Tensor) -> Tensor:
    """[..., 4] -> [...] px²; 0 if a side is negative."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of every pair: a [..., N, 4], b [..., M, 4] -> [..., N, M] in 0..1, never NaN."""
    a, b = a[..., :, None, :], b[..., None, :, :]
    common = _intersection(a, b)
    return _ratio(common, area(a) + area(b) - common)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalized IoU of corresponding boxes, [..., 4] each -> [...] in -1..1 (Rezatofighi et al. 2019,
    equation 1 on).
    """
    common = _intersection(a, b)
    union = area(a) + area(b) - common
    hull = area(torch.cat([torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])], -1))
    return _ratio(common, union) - _ratio(hull - union, hull)


def shape_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of every pair of (width, height) as if their centers met: a [..., N, 2], b [..., M, 2] -> [..., N, M].

    YOLO v2 and v3 assign a ground truth to the anchor with the largest one.
    """
    a, b = a.clamp(min=0)[..., :, None, :], b.clamp(min=0)[..., None, :, :]
    common = torch.minimum(a, b).prod(-1)
    return _ratio(common, a.prod(-1) + b.prod(-1) - common)


def _intersection(a: Tensor, b: Tensor) -> Tensor:
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    return (high - low).clamp(min=0).prod(-1)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole, or 0 if `whole` is not positive; its gradient is finite in both cases."""
    positive = whole > 0
    return torch.where(positive, part, 0.0) / torch.where(positive, whole, 1.0)
