"""What run.compile compiles: all that a step calls, with the losses of the plain parts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.training import example_state
from deca_model.data.faces import open_table
from deca_model.settings.reading import load_config
from deca_model.training.compiling import parts
from tests.conftest import ALL
from tests.deca_model.synthetic import make_manifest

SMALL = [
    "data.size=64", "model.uv_size=64", "model.render_size=64", "coarse.subjects=2", "coarse.images=2",
    "detail.subjects=2", "detail.images=2",
]  # fmt: skip
CALLED = {
    "pretrain": {"coarse", "head"},
    "coarse": {"coarse", "head", "renderer", "albedo"},
    "detail": {"coarse", "head", "albedo", "detail.encoder", "detail.decoder"},
}


def prepared(stage: str, folder, compiled: bool) -> tuple[Any, Any]:
    """A stage in evaluation of its batch norm, and a batch."""
    torch.manual_seed(0)
    config = load_config("cpu", [*SMALL, f"run.compile={str(compiled).lower()}"])
    table = open_table([make_manifest(folder, (4, 4, 3))])
    state, batch = example_state(stage, config, table, torch.device("cpu"))
    for part in state.stage.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()
    return state.stage, batch


@pytest.mark.parametrize("stage", list(CALLED))
def test_every_part_that_a_step_calls_is_compiled(stage, tmp_path, monkeypatch):
    asked, called = [], set()
    monkeypatch.setattr(nn.Module, "compile", lambda part, mode=None: asked.append(part))
    module, batch = prepared(stage, tmp_path, compiled=True)
    assert asked == parts(module)
    names = {name: part for name, part in module.model.named_modules() if name in CALLED[stage]}
    for name, part in names.items():
        part.register_forward_hook(lambda *_, name=name: called.add(name))
    module(batch)
    assert called == CALLED[stage]
    assert all(any(part is each for each in asked) for part in names.values())


@pytest.mark.skipif(not ALL, reason="a minute; `make test-all` runs it")
@pytest.mark.parametrize("stage", ["coarse", "detail"])
def test_traced_parts_have_the_very_losses_and_gradients_of_the_plain_ones(stage, tmp_path, monkeypatch):
    compile_part = nn.Module.compile
    # The whole way of torch.compile except its C++ compiler.
    monkeypatch.setattr(nn.Module, "compile", lambda part, mode=None: compile_part(part, backend="aot_eager"))
    found = []
    for compiled in (False, True):
        module, batch = prepared(stage, tmp_path / str(compiled), compiled)
        losses = module(batch).losses
        torch.stack(list(losses.values())).sum().backward()
        gradients = [each.grad for each in module.trainable().parameters() if each.grad is not None]
        found.append({name: loss.item() for name, loss in losses.items()})
        found[-1]["gradient"] = float(torch.stack([each.norm() for each in gradients]).norm())
    assert found[1] == pytest.approx(found[0], rel=1e-5)
