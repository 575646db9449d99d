"""What users of Inductor share: the precision of layers, and where its files are."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.fx import Graph, GraphModule

from paretodet.errors import InputError
from paretodet.export import cache
from paretodet.export.inductor import CACHE_VARIABLE, inductor_cache, layer_precisions


def test_layers_are_counted_by_their_first_operand() -> None:
    root, graph = nn.Module(), Graph()
    root.part = nn.Linear(2, 2, dtype=torch.bfloat16)
    inputs = graph.placeholder("inputs")
    inputs.meta["val"] = torch.zeros(2, 2)
    constant = graph.create_node("get_attr", "part.weight")
    products = [graph.call_function(torch.ops.aten.mm.default, (one, inputs)) for one in (constant, constant, inputs)]
    graph.output(graph.call_function(torch.ops.aten.add.Tensor, (products[0], products[1])))
    assert layer_precisions(GraphModule(root, graph)) == {"bf16": 2, "fp32": 1}


def test_its_files_are_in_the_cache_while_it_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    monkeypatch.setenv(CACHE_VARIABLE, "elsewhere")
    with inductor_cache() as folder:
        assert os.environ[CACHE_VARIABLE] == str(folder) and folder.parent == tmp_path
    assert os.environ[CACHE_VARIABLE] == "elsewhere"


@pytest.mark.skipif(os.name == "nt", reason="Windows is not asked who can write")
def test_its_files_are_not_loaded_from_where_others_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    tmp_path.chmod(0o777)
    with pytest.raises(InputError, match="other users can write into it.*cache-unsafe"), inductor_cache():
        pytest.fail("used")
