"""Configurations of detectors from the transformers library as published; nothing is ever downloaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class HubRule:
    """How detections are selected from logits and boxes of queries, as the library's image processors do.

    With a softmax, whose last class is no object, each query gives one detection; with a sigmoid, the best of all pairs
    of a query and a class are detections, `top` of them or as many as queries.
    """

    softmax: bool = False
    top: int | None = None
    masked: bool = False  # whether the network takes a mask of the pixels that are of the image


@dataclass(frozen=True, kw_only=True)
class HubModel:
    """One published size of one architecture."""

    architecture: str  # of the library's configuration and model classes
    backbone: str  # `model_type` of the backbone's configuration
    backbone_options: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    side: int = 640  # of the square input, px
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of RGB values in 0..1
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    parameters_m: float  # as published, millions


def _hgnet(
    stem: tuple[int, int],
    stages: tuple[tuple[int, int], ...],  # (middle, output) channels of each
    *,
    blocks: tuple[int, ...],
    layers: int,
    kernels: tuple[int, ...] = (3, 3, 5, 5),
    indices: tuple[int, ...] = (2, 3, 4),
    affine: bool = True,
) -> dict[str, Any]:
    """The library's configuration of HGNetv2, from the table in the paper."""
    count = len(stages)
    outputs = [out for _, out in stages]
    return {
        "hidden_sizes": outputs if count < 4 else [2 * outputs[0], *outputs[1:]],
        "depths": [layers] * count,
        "stem_channels": [3, *stem],
        "stage_in_channels": [stem[1], *outputs[:-1]],
        "stage_mid_channels": [middle for middle, _ in stages],
        "stage_out_channels": outputs,
        "stage_num_blocks": list(blocks),
        "stage_downsample": [False, True, True, True][:count],
        "stage_light_block": [False, False, True, True][:count],
        "stage_kernel_size": list(kernels),
        "stage_numb_of_layers": [layers] * count,
        "stage_downsample_strides": [2] * count,
        "use_learnable_affine_block": affine,
        "out_indices": list(indices),
    }


_B0_STAGES = ((16, 64), (32, 256), (64, 512), (128, 1024))
_B0 = _hgnet((16, 16), _B0_STAGES, blocks=(1, 1, 2, 1), layers=3)
_B0_LOW = _hgnet((16, 16), _B0_STAGES, blocks=(1, 1, 2, 1), layers=3, indices=(3, 4))
_B2 = _hgnet((24, 32), ((32, 96), (64, 384), (128, 768), (256, 1536)), blocks=(1, 1, 3, 1), layers=4)
_B4 = _hgnet((32, 48), ((48, 128), (96, 512), (192, 1024), (384, 2048)), blocks=(1, 1, 3, 1), layers=6, affine=False)
_B5 = _hgnet((32, 64), ((64, 128), (128, 512), (256, 1024), (512, 2048)), blocks=(1, 2, 5, 2), layers=6, affine=False)
_NARROW = {
    "num_feature_levels": 2,
    "feat_strides": [16, 32],
    "encoder_in_channels": [512, 1024],
    "encode_proj_layers": [1],
    "encoder_hidden_dim": 128,
    "encoder_ffn_dim": 512,
    "d_model": 128,
    "decoder_in_channels": [128, 128],
    "decoder_ffn_dim": 512,
    "decoder_n_points": [6, 6],
    "decoder_layers": 3,
    "hidden_expansion": 0.34,
    "depth_mult": 0.5,
}


def _d_fine(parameters_m: float, backbone: dict[str, Any], **options: Any) -> HubModel:
    return HubModel(
        architecture="DFine",
        backbone="hgnet_v2",
        backbone_options=backbone,
        options={"decoder_n_points": [3, 6, 3], **options},
        parameters_m=parameters_m,
    )


def _rt_detr_v2(parameters_m: float, backbone: dict[str, Any], **options: Any) -> HubModel:
    return HubModel(
        architecture="RTDetrV2",
        backbone="rt_detr_resnet",
        backbone_options={"out_indices": [2, 3, 4], **backbone},
        options=options,
        parameters_m=parameters_m,
    )


def _deimv2_lite(
    parameters_m: float, backbone: dict[str, Any], *, side: int, width: int, queries: int, feedforward: int
) -> HubModel:
    """The three smallest: a light encoder on one map of stride 16, no gateway, one box head for all layers."""
    return HubModel(
        architecture="Deimv2",
        backbone="hgnet_v2",
        backbone_options=backbone,
        side=side,
        parameters_m=parameters_m,
        options={
            "encoder_type": "lite",
            "encoder_layers": 0,
            "encoder_in_channels": [backbone["stage_out_channels"][-1]],
            "feat_strides": [16],
            "encoder_hidden_dim": width,
            "hidden_expansion": 0.34,
            "depth_mult": 0.5,
            "num_feature_levels": 2,
            "d_model": width,
            "decoder_in_channels": [width, width],
            "decoder_ffn_dim": feedforward,
            "decoder_n_points": [4, 2],
            "decoder_layers": 3,
            "decoder_activation_function": "silu",
            "num_queries": queries,
            "share_bbox_head": True,
            "use_gateway": False,
        },
    )


def _deimv2_vit(
    parameters_m: float, vit: dict[str, Any], *, width: int, inplanes: int, after: tuple[int, ...], **options: Any
) -> HubModel:
    """A vision transformer with a spatial tuning adapter; `after` are the blocks whose outputs are read."""
    return HubModel(
        architecture="Deimv2",
        backbone="dinov3_vit",
        backbone_options={
            "num_hidden_layers": 12,
            "rope_theta": 100.0,
            "reshape_hidden_states": True,
            "out_indices": [index + 1 for index in after],
            **vit,
        },
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        parameters_m=parameters_m,
        options={
            "spatial_tuning_adapter_inplanes": inplanes,
            "encoder_has_trailing_conv": False,
            "encoder_in_channels": [width] * 3,
            "encoder_hidden_dim": width,
            "d_model": width,
            "decoder_in_channels": [width] * 3,
            "decoder_activation_function": "silu",
            **options,
        },
    )


def _distilled(width: int, heads: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
        "layerscale_value": 1.0,
        "num_register_tokens": 0,
        "pos_embed_rescale": None,
        "key_bias": False,
        "apply_layernorm": False,
    }


def _vits16(intermediate: int, *, gated: bool) -> dict[str, Any]:
    return {
        "hidden_size": 384,
        "num_attention_heads": 6,
        "intermediate_size": intermediate,
        "use_gated_mlp": gated,
        "layerscale_value": 1e-5,
        "num_register_tokens": 4,
        "pos_embed_rescale": 2.0,
        "key_bias": True,
        "apply_layernorm": True,
    }


_ATTO = _hgnet((16, 16), ((16, 64), (32, 256), (64, 256)), blocks=(1, 1, 1), layers=3, kernels=(3, 3, 3), indices=(3,))
_FEMTO = _hgnet((16, 16), ((16, 64), (32, 256), (64, 512)), blocks=(1, 1, 1), layers=3, kernels=(3, 3, 5), indices=(3,))
_PICO = _hgnet((16, 16), ((16, 64), (32, 256), (64, 512)), blocks=(1, 1, 2), layers=3, kernels=(3, 3, 5), indices=(3,))
_RESNET18 = {"hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2], "layer_type": "basic"}

MODELS: dict[str, HubModel] = {
    # github.com/Peterande/D-FINE, configs/dfine
    "d_fine-n": _d_fine(3.8, _B0_LOW, **_NARROW),
    "d_fine-s": _d_fine(
        10.2, _B0, encoder_in_channels=[256, 512, 1024], decoder_layers=3, hidden_expansion=0.5, depth_mult=0.34
    ),
    "d_fine-m": _d_fine(19.2, _B2, encoder_in_channels=[384, 768, 1536], decoder_layers=4, depth_mult=0.67),
    "d_fine-l": _d_fine(31.0, _B4),
    "d_fine-x": _d_fine(
        62.0, _B5, encoder_hidden_dim=384, encoder_ffn_dim=2048, decoder_in_channels=[384, 384, 384], reg_scale=8.0
    ),
    # github.com/lyuwenyu/RT-DETR, rtdetrv2_pytorch: its S and L
    "rt_detr_v2-r18": _rt_detr_v2(
        20.0, _RESNET18, encoder_in_channels=[128, 256, 512], decoder_layers=3, hidden_expansion=0.5
    ),
    "rt_detr_v2-r50": _rt_detr_v2(42.0, {}),
    # github.com/Intellindust-AI-Lab/DEIMv2, configs/deimv2
    "deimv2-atto": _deimv2_lite(0.5, _ATTO, side=320, width=64, queries=100, feedforward=160),
    "deimv2-femto": _deimv2_lite(1.0, _FEMTO, side=416, width=96, queries=150, feedforward=256),
    "deimv2-pico": _deimv2_lite(1.5, _PICO, side=640, width=112, queries=200, feedforward=320),
    "deimv2-n": HubModel(
        architecture="Deimv2",
        backbone="hgnet_v2",
        backbone_options=_B0_LOW,
        options={**_NARROW, "decoder_activation_function": "silu"},
        parameters_m=3.6,
    ),
    "deimv2-s": _deimv2_vit(
        9.7, _distilled(192, 3), width=192, inplanes=16, after=(3, 7, 11), encoder_ffn_dim=512, decoder_ffn_dim=512,
        hidden_expansion=0.34, depth_mult=0.67, decoder_layers=4,
    ),
    "deimv2-m": _deimv2_vit(
        18.1, _distilled(256, 4), width=256, inplanes=16, after=(3, 7, 11), encoder_ffn_dim=512, decoder_ffn_dim=512,
        hidden_expansion=0.67, decoder_layers=4,
    ),
    "deimv2-l": _deimv2_vit(
        32.2, _vits16(1536, gated=False), width=224, inplanes=32, after=(5, 8, 11), encoder_ffn_dim=896,
        decoder_ffn_dim=1792, decoder_layers=4,
    ),
    "deimv2-x": _deimv2_vit(
        50.3, _vits16(1536, gated=True), width=256, inplanes=64, after=(5, 8, 11), encoder_ffn_dim=1024,
        decoder_ffn_dim=2048, decoder_layers=6, hidden_expansion=1.25, depth_mult=1.37,
    ),
}  # fmt: skip
