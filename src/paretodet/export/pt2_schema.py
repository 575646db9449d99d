"""What the JSON of a torch.export archive may say: a program of known operators on tensors of fixed shapes, no more.

Source: torch/_export/serde/schema.py of PyTorch 2.13. torch evaluates sizes that are symbols, guards and the classes of
containers as code, and compiles names into Python source; so none of the first is allowed, and names are identifiers.
"""

import re
from collections.abc import Set
from typing import Annotated, Any, Literal

from paretodet.schema import Closed, Count, Limits

IN = (
    '[1, {"type": "builtins.tuple", "context": "null", "children_spec": ['
    '{"type": "builtins.tuple", "context": "null", "children_spec": ['
    '{"type": null, "context": null, "children_spec": []}]}, '
    '{"type": "builtins.dict", "context": "[]", "children_spec": []}]}]'
)
LEAF = '{"type": null, "context": null, "children_spec": []}'
OUT = f'[1, {{"type": "builtins.tuple", "context": "null", "children_spec": [{LEAF}, {LEAF}]}}]'
TREE = (  # of outputs: a tuple of tensors, or a dictionary of them
    r'\A\[1, \{"type": "builtins\.(tuple", "context": "null|dict", "context": '
    r'"\[(\\"[A-Za-z_][A-Za-z0-9_]{0,255}\\"(, )?)*\])", "children_spec": '
    rf"\[{re.escape(LEAF)}(, {re.escape(LEAF)})*\]\}}\]\Z"
)
OPERATORS = frozenset(
    (
        "add.Tensor", "add_.Tensor", "alias.default", "arange.default", "avg_pool2d.default", "batch_norm.default",
        "cat.default", "chunk.default", "clamp.Tensor", "clamp.default", "clamp_min.default", "clone.default",
        "conv2d.default", "conv2d.padding", "conv_transpose2d.input", "detach.default", "detach_.default",
        "div.Tensor", "dropout.default", "exp.default", "expand.default", "flatten.using_ints", "flip.default",
        "full.default", "group_norm.default", "hardtanh_.default", "index.Tensor", "le.Scalar", "leaky_relu.default",
        "leaky_relu_.default", "lift_fresh_copy.default", "linalg_vector_norm.default", "masked_fill.Scalar",
        "matmul.default", "max.dim", "max_pool2d.default", "maximum.default", "mean.dim", "minimum.default",
        "mul.Tensor", "pad.default", "permute.default", "pow.Tensor_Scalar", "prod.dim_int", "relu.default",
        "relu6.default", "relu6_.default", "relu_.default", "repeat.default", "reshape.default", "rsqrt.default",
        "rsub.Scalar", "select.int", "sigmoid.default", "slice.Tensor", "softmax.int", "split.Tensor",
        "split_with_sizes.default", "sqrt.default", "square.default", "squeeze.dim", "stack.default", "sub.Tensor",
        "sum.dim_IntList", "to.dtype", "transpose.int", "unbind.int", "unsqueeze.default", "upsample_nearest2d.vec",
        "view.default", "where.self",
    )
)  # fmt: skip
# None reads a file, or memory that is not of its inputs: torch 2.13's `grid_sampler` may, in bfloat16 on a CPU.
OPERATORS_OF_OTHERS = OPERATORS | frozenset(
    (
        "abs.default", "adaptive_avg_pool2d.default", "add.Scalar", "addmm.default", "amax.default", "amin.default",
        "arange.start", "arange.start_step", "argmax.default", "bmm.default", "ceil.default", "clamp_.default",
        "clamp_max.default", "concat.default", "contiguous.default", "conv1d.default", "copy_.default", "cos.default",
        "cumsum.default", "div.Scalar", "div.Tensor_mode", "div_.Tensor", "elu.default", "elu_.default", "eq.Scalar",
        "eq.Tensor", "erf.default", "expand_as.default", "floor.default", "floor_divide.default", "full_like.default",
        "gather.default", "ge.Scalar", "ge.Tensor", "gelu.default", "gt.Scalar", "gt.Tensor",
        "hardsigmoid.default", "hardsigmoid_.default", "hardswish.default", "hardswish_.default", "hardtanh.default",
        "index_select.default", "instance_norm.default", "layer_norm.default", "le.Tensor", "linear.default",
        "log.default", "log_softmax.int", "logical_and.default", "logical_not.default", "logical_or.default",
        "lt.Scalar", "lt.Tensor", "masked_fill.Tensor", "masked_fill_.Scalar", "max.default", "mean.default",
        "meshgrid.default", "meshgrid.indexing", "min.default", "min.dim", "mish.default", "mish_.default",
        "mm.default", "mul.Scalar", "mul_.Tensor", "ne.Scalar", "ne.Tensor", "neg.default", "new_full.default",
        "new_ones.default", "new_zeros.default", "ones.default", "ones_like.default", "outer.default",
        "pixel_shuffle.default", "pixel_unshuffle.default", "pow.Scalar", "pow.Tensor_Tensor", "prelu.default",
        "reciprocal.default", "repeat_interleave.self_int", "rms_norm.default", "round.default",
        "scalar_tensor.default",
        "scaled_dot_product_attention.default", "scatter.src", "sigmoid_.default", "silu.default", "silu_.default",
        "sin.default", "softplus.default", "sort.default", "squeeze.default", "squeeze.dims", "sub.Scalar",
        "sub_.Tensor", "sum.default", "t.default", "tanh.default", "tanh_.default", "tile.default", "to.dtype_layout",
        "topk.default", "type_as.default", "unflatten.int", "upsample_bicubic2d.vec", "upsample_bilinear2d.vec",
        "upsample_nearest2d.default", "zeros.default", "zeros_like.default",
    )
)  # fmt: skip

Name = Annotated[str, Limits(pattern=r"\A[A-Za-z_][A-Za-z0-9_]{0,255}\Z")]
Dotted = Annotated[str, Limits(pattern=r"\A(?!.*__)[A-Za-z_][A-Za-z0-9_.]{0,255}\Z")]  # an attribute
Word = Annotated[str, Limits(pattern=r"\A[a-z_]{0,32}\Z")]  # of an operator's choices
Version = Annotated[str, Limits(pattern=r"\A[A-Za-z0-9.+]{1,64}\Z")]
Stack = Annotated[str, Limits(pattern=r"\A[A-Za-z0-9_.,;:@<>()'\[\] ]*\Z")]  # the modules that hold a node
Number = float | Literal["Infinity", "-Infinity", "NaN"]
Nothing = Annotated[dict[str, Any], Limits(max_length=0)]
Scalar = Literal[1, 2, 3, 4, 5, 6, 7, 8, 12, 13]  # integers, half, float, double, bool, bfloat16


class Pt2Integer(Closed, frozen=True):
    as_int: int


class Pt2Size(Closed, frozen=True):
    as_int: Count


class Pt2Device(Closed, frozen=True):
    type: Literal["cpu"]
    index: None = None


class Pt2Tensor(Closed, frozen=True):
    """Type and shape of a tensor in memory of its own."""

    dtype: Scalar
    sizes: list[Pt2Size]
    requires_grad: bool
    device: Pt2Device
    strides: list[Pt2Size]
    storage_offset: Pt2Size
    layout: Literal[7]  # strided


class Pt2Payload(Closed, frozen=True):
    """A tensor and the member that holds it."""

    path_name: Annotated[str, Limits(pattern=r"\A(weight|tensor)_[0-9]{1,9}\Z")]
    is_param: bool
    use_pickle: bool
    tensor_meta: Pt2Tensor | None


class Pt2Payloads(Closed, frozen=True):
    config: dict[Dotted, Pt2Payload]


class Pt2Named(Closed, frozen=True):
    name: Name


class Pt2Optional(Closed, frozen=True):
    as_tensor: Pt2Named | None = None
    as_none: bool | None = None


class Pt2Value(Closed, frozen=True):
    """One of these: an argument of an operator, an input or an output."""

    as_none: bool | None = None
    as_tensor: Pt2Named | None = None
    as_tensors: list[Pt2Named] | None = None
    as_int: int | None = None
    as_ints: list[int] | None = None
    as_float: Number | None = None
    as_floats: list[Number] | None = None
    as_string: Word | None = None
    as_sym_ints: list[Pt2Integer] | None = None
    as_scalar_type: Scalar | None = None
    as_memory_format: Literal[1, 2, 4] | None = None
    as_layout: Literal[7] | None = None
    as_device: Pt2Device | None = None
    as_bool: bool | None = None
    as_bools: list[bool] | None = None
    as_optional_tensors: list[Pt2Optional] | None = None
    as_optional_tensor: Pt2Optional | None = None


class Pt2OnlyTensor(Closed, frozen=True):
    as_tensor: Pt2Named


class Pt2Argument(Closed, frozen=True):
    name: Name
    arg: Pt2Value
    kind: Literal[1, 2] | None = None


class Pt2Metadata(Closed, frozen=True):
    nn_module_stack: Stack = ""


class Pt2Node(Closed, frozen=True):
    target: str
    inputs: list[Pt2Argument]
    outputs: list[Pt2Value]
    metadata: Pt2Metadata
    is_hop_single_tensor_return: None = None
    name: Name | None = None


class Pt2Graph(Closed, frozen=True):
    inputs: list[Pt2OnlyTensor]
    outputs: list[Pt2OnlyTensor]
    nodes: list[Pt2Node]
    tensor_values: dict[Name, Pt2Tensor]
    sym_int_values: Nothing
    sym_bool_values: Nothing
    is_single_tensor_return: bool = False
    custom_obj_values: Nothing = {}
    sym_float_values: Nothing = {}


class Pt2UserPort(Closed, frozen=True):
    arg: Pt2OnlyTensor


class Pt2Parameter(Closed, frozen=True):
    arg: Pt2Named
    parameter_name: Dotted


class Pt2Buffer(Closed, frozen=True):
    arg: Pt2Named
    buffer_name: Dotted
    persistent: bool


class Pt2Constant(Closed, frozen=True):
    arg: Pt2Named
    tensor_constant_name: Dotted


class Pt2InputSpec(Closed, frozen=True):
    """One of these."""

    user_input: Pt2UserPort | None = None
    parameter: Pt2Parameter | None = None
    buffer: Pt2Buffer | None = None
    tensor_constant: Pt2Constant | None = None


class Pt2OutputSpec(Closed, frozen=True):
    user_output: Pt2UserPort


class Pt2Signature(Closed, frozen=True):
    input_specs: list[Pt2InputSpec]
    output_specs: list[Pt2OutputSpec]


class Pt2Call(Closed, frozen=True):
    inputs: list[Pt2OnlyTensor]
    outputs: list[Pt2OnlyTensor]
    in_spec: Annotated[str, Limits(pattern=rf"\A{re.escape(IN)}\Z")]
    out_spec: Annotated[str, Limits(pattern=TREE)]
    forward_arg_names: list[Literal["pixels"]]


class Pt2CallEntry(Closed, frozen=True):
    fqn: Literal[""]
    signature: Pt2Call


class Pt2Module(Closed, frozen=True):
    graph: Pt2Graph
    signature: Pt2Signature
    module_call_graph: Annotated[list[Pt2CallEntry], Limits(min_length=1, max_length=1)]
    metadata: Nothing = {}
    treespec_namedtuple_fields: Nothing = {}


class Pt2SchemaVersion(Closed, frozen=True):
    major: int
    minor: int


class Pt2Program(Closed, frozen=True):
    """The content of `models/model.json`."""

    graph_module: Pt2Module
    opset_version: dict[Name, int]
    range_constraints: Nothing
    schema_version: Pt2SchemaVersion
    verifiers: list[Literal["ATEN", "TRAINING", ""]]
    torch_version: Version
    guards_code: Annotated[list[str], Limits(max_length=0)]


def foreign(program: Pt2Program, operators: Set[str] = OPERATORS) -> Set[str]:
    """The operators of a program that are none of `operators`."""
    known = {f"torch.ops.aten.{name}" for name in operators}
    return {node.target for node in program.graph_module.graph.nodes} - known
