"""Feature networks from local files: every spelling of the same weights gives the same features; others are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lldm_aug.errors import CheckpointError, ConfigError
from lldm_aug.evaluation.measure.feature_networks import choose_networks
from lldm_aug.evaluation.measure.pretrained_networks import (
    MedicalNet,
    _empty_resnet,
    empty_inception,
    inception,
    radimagenet,
)

pytest.importorskip("torchvision")
SLICES = np.random.default_rng(0).uniform(size=(1, 40, 30)).astype(np.float32)


def random_weights(network: nn.Module) -> dict[str, torch.Tensor]:
    """Weights of the right shapes that neither vanish nor explode."""
    rng, found = torch.Generator().manual_seed(0), {}
    for name, t in network.state_dict().items():
        if not t.is_floating_point():
            found[name] = torch.tensor(0)
        elif t.ndim > 1:
            found[name] = torch.randn(t.shape, generator=rng) / t[0].numel() ** 0.5
        else:
            found[name] = 0.5 + torch.rand(t.shape, generator=rng)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(scope="module")
def resnet(folder):
    weights = random_weights(_empty_resnet())
    save_file(weights, folder / "resnet.safetensors")
    return weights


@pytest.mark.slow
def test_inception_takes_torchvisions_names_with_or_without_classifiers(folder):
    weights = random_weights(empty_inception())
    heads = {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000), "AuxLogits.fc.bias": torch.zeros(1000)}
    torch.save(weights | heads, folder / "inception.pth")
    found = inception(folder / "inception.pth").features(SLICES)
    assert found.shape == (1, 2048)
    assert np.isfinite(found).all()
    parts = {name: str(i) for i, (name, _) in enumerate(empty_inception().named_children())}
    counted = {f"backbone.{parts[k.partition('.')[0]]}.{k.partition('.')[2]}": t for k, t in weights.items()}
    torch.save(counted, folder / "inception.pt")
    network = radimagenet(folder / "inception.pt")
    assert network.name == "Inception v3 (RadImageNet)"
    assert network.features(SLICES) == pytest.approx(found, rel=1e-4)


def test_radimagenet_takes_the_authors_numbered_parts(folder, resnet):
    parts = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
    counted = {f"backbone.{parts[k.partition('.')[0]]}.{k.partition('.')[2]}": t for k, t in resnet.items()}
    torch.save({"state_dict": {f"module.{k}": t for k, t in counted.items()}}, folder / "resnet.pt")
    found = radimagenet(folder / "resnet.pt")
    assert found.name == "ResNet50 (RadImageNet)"
    assert found.features(SLICES) == pytest.approx(radimagenet(folder / "resnet.safetensors").features(SLICES))


@pytest.mark.slow
def test_biases_of_keras_weights_count_as_in_keras(folder, resnet):
    biased, rng = dict(resnet), torch.Generator().manual_seed(1)
    network = _empty_resnet().to_empty(device="cpu").eval()
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1.001e-5
        elif isinstance(module, nn.Conv2d):
            biased[f"{name}.bias"] = torch.randn(module.out_channels, generator=rng)
            module.bias = nn.Parameter(torch.zeros(module.out_channels))
            if name.startswith(("layer2.0.conv", "layer3.0.conv", "layer4.0.conv")) and not name.endswith("3"):
                module.stride = (2, 2) if name.endswith("conv1") else (1, 1)
    torch.save(biased, folder / "keras.pth")
    network.load_state_dict(biased)
    found = radimagenet(folder / "keras.pth")
    picture = torch.rand(1, 3, 64, 64, generator=rng)
    with torch.inference_mode():
        assert found.network(picture).numpy() == pytest.approx(network(picture).numpy(), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_weights_that_do_not_fit_are_refused_by_name(folder, resnet, change):
    wrong = dict(resnet)
    if change == "missing":
        del wrong["layer3.2.conv2.weight"]
    elif change == "unexpected":
        wrong["layer3.2.conv4.weight"] = torch.zeros(1)
    else:
        wrong["layer3.2.conv2.weight"] = torch.zeros(1)
    save_file(wrong, folder / "wrong.safetensors")
    with pytest.raises(CheckpointError, match=r"layer3\.2\.conv"):
        radimagenet(folder / "wrong.safetensors")


def test_weights_of_another_network_are_refused(folder, resnet):
    with pytest.raises(CheckpointError, match="--network names"):
        inception(folder / "resnet.safetensors")
    with pytest.raises(CheckpointError, match="conv1"):  # 2D kernels
        MedicalNet(folder / "resnet.safetensors")


def test_files_without_tensors_are_refused(folder):
    (folder / "text.pth").write_text("not weights")
    torch.save({"state_dict": {"epoch": 3}}, folder / "number.pth")
    for name in ("text.pth", "number.pth"):
        with pytest.raises(CheckpointError):
            inception(folder / name)


def test_medicalnet_tells_its_depth_from_the_weights(folder):
    from monai.networks.nets.resnet import resnet10

    network = resnet10(spatial_dims=3, n_input_channels=1, feed_forward=False, bias_downsample=False)
    weights = random_weights(network)
    torch.save({"state_dict": {f"module.{k}": t for k, t in weights.items()}}, folder / "resnet_10.pth")
    found = MedicalNet(folder / "resnet_10.pth")
    assert found.name == "MedicalNet ResNet10"
    volumes = np.random.default_rng(1).uniform(size=(2, 16, 16, 12)).astype(np.float32)
    features = found.features(volumes)
    assert features.shape == (2, 512)
    assert found.features(3 * volumes + 1) == pytest.approx(features, rel=1e-2, abs=1e-4)  # scale does not matter
    shallower = {k: t for k, t in weights.items() if not k.startswith("layer4")}
    torch.save(shallower, folder / "short.pth")
    with pytest.raises(CheckpointError, match="blocks 1, 1, 1, 0"):
        MedicalNet(folder / "short.pth")


def test_every_network_but_the_packaged_one_needs_a_file(folder):
    chosen = choose_networks(["inception", "effnet"], [folder / "x.pth"])
    assert [(c.name, c.weights) for c in chosen] == [("inception", folder / "x.pth"), ("effnet", None)]
    for names, weights in ((["inception"], []), (["effnet"], [folder]), (["inception"] * 2, [folder] * 2)):
        with pytest.raises(ConfigError):
            choose_networks(names, weights)
