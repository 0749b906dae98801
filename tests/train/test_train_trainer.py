"""The training loop: resuming, patience, recalibration."""

from dataclasses import replace

import pytest
import torch

from train.config import Config
from train.data.augmentation import Crops
from train.data.chunks import Chunks
from train.data.clips import decode_clips, find_clips
from train.data.inputs import prepare_all
from train.data.splits import read_split
from train.errors import TrainingError
from train.network.checkpoint import load_checkpoint
from train.network.table import NETWORKS, build_network
from train.trainer import Trainer

IN_EPOCHS = [name for name, network in NETWORKS.items() if not network.solver]


@pytest.mark.parametrize("net", IN_EPOCHS)
def test_resumes_where_it_stopped(net, folder, genres, tmp_path):
    """An interrupted and resumed run has the same history as an uninterrupted one."""
    split = read_split(folder / "split.csv")
    chunks = Chunks(*decode_clips(find_clips(folder)), genres)
    options = {"cache": 1, "mask_frames": 20, "mask_coefficients": 6} if NETWORKS[net].masks else {"cache": 0}
    config = Config(net=net, epochs=3, batch=16, mixup=0.2, **options)
    network = build_network(net, len(genres)).eval()
    inputs = prepare_all(chunks, network.prepare, Crops(chunks, config), config.cache)
    sets = [inputs.part(split, "train", augmented=True), inputs.part(split, "valid")]
    device = torch.device("cpu")

    whole = Trainer(config, genres, device, {})
    whole.run(*sets, tmp_path)

    class StoppedError(Exception):
        pass

    first = Trainer(config, genres, device, {})
    train_epoch = first.train_epoch

    def stop_in_the_third(*arguments):
        if len(first.history) == 2:
            raise StoppedError
        return train_epoch(*arguments)

    first.train_epoch = stop_in_the_third
    with pytest.raises(StoppedError):
        first.run(*sets, tmp_path)
    best = load_checkpoint(tmp_path / "best.ckpt")  # usable as it is
    assert best.metrics["valid"] == whole.history[int(best.history[-1]["epoch"]) - 1]
    assert 0 < best.uncertain_below <= 1

    with pytest.raises(TrainingError, match="another split"):
        Trainer(config, genres, device, {"split_sha256": "of other clips"}).resume(tmp_path / "last.ckpt")
    with pytest.raises(TrainingError, match="another epochs"):
        Trainer(replace(config, epochs=4), genres, device, {}).resume(tmp_path / "last.ckpt")
    second = Trainer(config, genres, device, {})
    second.resume(tmp_path / "last.ckpt")
    second.run(*sets, tmp_path)
    assert second.history == whole.history


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ({"resume": None}, "holds no state of a training run"),
        ({"history": [{"train_loss": 1.0}]}, "holds no state of a training run"),
        ({"history": [{"epoch": 1}, {"epoch": 2, "train_loss": 1.0}]}, "holds no state of a training run"),
        ({"history": [{"epoch": 1}, {"epoch": 2}]}, "holds a damaged state"),
        ({"optimiser": None}, "holds a damaged state"),
        ({"optimiser": {}}, "holds a damaged state"),
        ({"optimiser": {"state": {0: {"exp_avg": torch.zeros(1), "exp_avg_sq": torch.zeros(1)}}}}, "damaged state"),
        ({"schedule": 5}, "holds a damaged state"),
        ({"schedule": {"last_epoch": "one"}}, "holds a damaged state"),
    ],
)
def test_a_damaged_state_is_not_resumed_from(damage, says, genres, tmp_path):
    config = Config(epochs=2, batch=16)
    trainer = Trainer(config, genres, torch.device("cpu"), {})
    trainer.history.append({"epoch": 1})
    trainer.optimiser.step()
    trainer.schedule.step()
    whole = trainer.checkpoint(None)
    whole.save(tmp_path / "last.ckpt")
    Trainer(config, genres, torch.device("cpu"), {}).resume(tmp_path / "last.ckpt")
    state = dict(whole.resume)
    for name in damage.keys() & state.keys():
        state[name] = state[name] | damage[name] if isinstance(damage[name], dict) and damage[name] else damage[name]
    fields = {name: value for name, value in damage.items() if name not in state}
    replace(whole, **{"resume": state} | fields).save(tmp_path / "last.ckpt")
    with pytest.raises(TrainingError, match=says):
        Trainer(config, genres, torch.device("cpu"), {}).resume(tmp_path / "last.ckpt")


def test_patience_ends_a_run(genres):
    trainer = Trainer(Config(epochs=10, batch=16, patience=2), genres, torch.device("cpu"), {})
    over = []
    for epoch, accuracy in enumerate([0.4, 0.6, 0.6, 0.5], start=1):
        trainer.history.append({"epoch": epoch, "valid_track_accuracy_macro": accuracy, "valid_loss": 1.0 + epoch})
        over.append(trainer.is_over)
    assert over == [False, False, False, True]
    assert trainer.best["epoch"] == 2  # among equals the one with the lower loss


def test_recalibrated_statistics_are_those_without_dropout(folder, genres, monkeypatch):
    chunks = Chunks(*decode_clips(find_clips(folder)), genres)
    inputs = prepare_all(chunks, build_network("cnn", len(genres)).eval().prepare)
    means = {}
    # One more than a batch: a last batch of one chunk would fail.
    monkeypatch.setattr("train.trainer.RECALIBRATION_CHUNKS", 17)
    for recalibrate in (False, True):
        config = Config(net="cnn", epochs=1, batch=16, recalibrate=recalibrate)
        trainer = Trainer(config, genres, torch.device("cpu"), {})
        trainer.network.standardise.fit(inputs.prepared)
        trainer.train_epoch(inputs)
        norm = trainer.network.classifier.block2[2]
        seen = []
        handle = norm.register_forward_pre_hook(lambda _, arguments, seen=seen: seen.append(arguments[0].detach()))
        trainer.recalibrate(inputs, torch.arange(len(chunks) // 16 * 16))
        handle.remove()
        expected = torch.cat(seen).mean(dim=(0, 2, 3))
        assert torch.allclose(norm.running_mean, expected, atol=1e-5)
        assert norm.momentum == 0.1
        assert not trainer.network.classifier.dropout.training
        means[recalibrate] = [value for name, value in trainer.network.state_dict().items() if "weight" in name]
    for one, other in zip(*means.values(), strict=True):
        assert torch.equal(one, other)  # the weights do not change
