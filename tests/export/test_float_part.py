"""What stays in float: the ways from the heads to the results, and crops."""

from paretodet.export.float_part import GraphNode, after_layers, between, float_part, last_layers


def node(operator: str, *inputs: str, is_layer: bool = False) -> GraphNode:
    return GraphNode(operator=operator, inputs=inputs, is_layer=is_layer)


def test_nodes_between_the_last_layers_and_the_results() -> None:
    nodes = {
        "trunk": node("Conv", is_layer=True),
        "relu": node("Relu", "trunk"),
        "head": node("Conv", "relu", is_layer=True),
        "box": node("Exp", "head"),
        "anchors": node("Mul"),
        "decoded": node("Add", "box", "anchors", "an input"),
    }
    assert float_part(nodes, ["decoded"]) == {"box", "anchors", "decoded"}
    assert last_layers(nodes, ["decoded"]) == {"head"}


def test_crops_and_the_boxes_that_they_are_taken_by() -> None:
    nodes = {
        "trunk": node("Conv", is_layer=True),
        "relu": node("Relu", "trunk"),
        "boxes": node("Conv", "relu", is_layer=True),
        "weights": node("Sub", "boxes"),
        "rows": node("Gather", "relu", "weights"),
        "crop": node("MatMul", "weights", "rows"),
        "vectors": node("MatMul", "crop", is_layer=True),
        "softmax": node("Softmax", "vectors"),
    }
    assert float_part(nodes, ["softmax"]) == {"softmax", "crop", "rows", "weights", "relu"}
    assert last_layers(nodes, ["softmax"]) == {"vectors"}


def test_results_that_are_inputs_or_layers_need_no_node() -> None:
    nodes = {"head": node("Conv", is_layer=True)}
    assert float_part(nodes, ["head", "pixels"]) == set() and last_layers(nodes, ["head", "pixels"]) == {"head"}


def test_what_no_layer_reads() -> None:
    """A map that a head reads and that is a result too is not among it."""
    nodes = {
        "trunk": node("Conv", is_layer=True),
        "map": node("Relu", "trunk"),
        "head": node("Conv", "map", is_layer=True),
        "box": node("Exp", "head"),
        "anchors": node("Mul"),
        "decoded": node("Add", "box", "anchors"),
    }
    assert after_layers(nodes) == {"head", "box", "anchors", "decoded"} and after_layers({}) == set()


def test_a_norm_of_several_operators() -> None:
    """What is before it and after it up to the next layers, and nothing of another branch."""
    nodes = {
        "first": node("Conv", is_layer=True),
        "mean": node("Mean", "first"),
        "apart": node("Sub", "first", "mean"),
        "spread": node("Mean", "apart"),
        "scale": node("Rsqrt", "spread"),
        "normed": node("Mul", "apart", "scale"),
        "relu": node("Relu", "normed"),
        "second": node("Conv", "relu", is_layer=True),
        "sum": node("Add", "second", "first"),
    }
    assert between(nodes, "Rsqrt") == {"mean", "apart", "spread", "scale", "normed", "relu"}
    assert between(nodes, "Sqrt") == set()
