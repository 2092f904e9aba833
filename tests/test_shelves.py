"""How a name becomes an object."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from synthprint import shelves
from synthprint.backbones.thin_resnet import ThinResNet
from synthprint.errors import MissingDependency, ShelfError
from synthprint.shelves import SHELVES, find, names


@pytest.mark.parametrize("shelf", [shelf for shelf in SHELVES if shelf != "engines"])
def test_everything_on_a_shelf_is_found(shelf: str) -> None:
    assert names(shelf) == sorted(names(shelf))
    assert names(shelf)
    for name in names(shelf):
        variant = find(shelf, name)
        if shelf == "protocols":
            assert callable(variant.read)
            assert callable(variant.recognises)
            assert variant.LICENCE
            assert variant.CITATION
            assert variant.ADDRESS
        else:
            assert isinstance(variant, type)
            assert variant.__module__ == f"synthprint.{shelf}.{name}"


def test_names_and_foreign_names() -> None:
    assert find("backbones", "thin_resnet") is ThinResNet
    assert find("backbones", "synthprint.backbones.thin_resnet:ThinResNet") is ThinResNet


def test_a_variant_that_lives_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_losses.py").write_text("class Mine:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find("losses", "my_losses:Mine").__name__ == "Mine"
    with pytest.raises(ShelfError, match="module 'my_losses' has no 'Yours'"):
        find("losses", "my_losses:Yours")
    with pytest.raises(ShelfError, match="'your_losses:Mine' cannot be imported"):
        find("losses", "your_losses:Mine")


@pytest.mark.parametrize("name", ["resnet", "", "thin_resnet:", ":ThinResNet", ".thin_resnet:ThinResNet", "../losses"])
def test_wrong_names_say_which_there_are(name: str) -> None:
    with pytest.raises(ShelfError, match=r"no backbone is called .*; there are: .*thin_resnet"):
        find("backbones", name)


def test_wrong_shelves_say_which_there_are() -> None:
    with pytest.raises(ShelfError, match="no loss is called 'x'"):
        find("losses", "x")
    for call in (lambda: names("loses"), lambda: find("loses", "x"), lambda: find("loses", "a:b")):
        with pytest.raises(ShelfError, match="no shelf is called 'loses'; there are: protocols, engines, backbones"):
            call()


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_torch(name: str) -> object:
        if name == "synthprint.losses.softmax":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return sys.modules[name]

    monkeypatch.setattr(shelves.importlib, "import_module", no_torch)
    with pytest.raises(MissingDependency, match=r"pip install 'synthprint\[train\]'"):
        find("losses", "softmax")
