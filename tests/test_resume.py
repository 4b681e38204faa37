"""Interrupted trainings: the same weights as an unbroken one, whatever the workers, the kill and the damage."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import pytorch_lightning as pl
import torch

from her2core import cli
from her2core.data.manifest import read_manifest
from her2core.errors import Her2Error, RunError
from her2core.runs.checkpoints import CheckpointStore
from her2core.runs.listing import list_runs
from her2core.runs.writer import RunWriter
from her2core.training import loop
from her2core.training.callbacks import BEST, Diverged
from her2core.training.config import RunConfig, make_config
from her2core.training.fit import train
from her2core.training.interrupts import Interrupted


def config(manifest: Path, *, workers: int = 0, cache_gb: float = 4, **settings) -> RunConfig:
    """Three epochs with augmentation and dropout."""
    return make_config(
        {
            "name": "t",
            "manifest": str(manifest),
            "input": {"px": 32},
            "network": {"name": "timm:resnet10t", "options": {"drop_rate": 0.3}},
            "serving": False,
            "train": {"epochs": 3, "batch_size": 6, "warmup_epochs": 0.5, **settings},
            "hardware": {"accelerator": "cpu", "workers": workers, "cache_gb": cache_gb},
        }
    )


@pytest.fixture(scope="module")
def unbroken(tiny_manifest, tmp_path_factory, brief_cost):
    return train(config(tiny_manifest), root=tmp_path_factory.mktemp("unbroken"), progress=False)


@pytest.fixture(scope="module")
def interrupted(tiny_manifest, tmp_path_factory, brief_cost) -> Path:
    """A root whose training was ended by SIGTERM after the checkpoint of its second epoch."""
    root, commit, done = tmp_path_factory.mktemp("interrupted"), CheckpointStore.commit, []

    def then_end(self):
        commit(self)
        done.append(1)
        if len(done) == 2:
            raise Interrupted(143)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CheckpointStore, "commit", then_end)
        with pytest.raises(SystemExit) as left:
            train(config(tiny_manifest), root=root, progress=False)
    assert left.value.code == 143
    return root


@pytest.fixture
def root(interrupted, tmp_path) -> Path:
    return Path(shutil.copytree(interrupted, tmp_path / "runs"))


def same(resumed, unbroken) -> None:
    assert resumed.card["weights_sha256"] == unbroken.card["weights_sha256"]
    drop = ["seconds"]
    pd.testing.assert_frame_equal(resumed.history.drop(columns=drop), unbroken.history.drop(columns=drop))
    assert list((resumed.path.parent / ".work").iterdir()) == []
    assert not list(resumed.path.rglob("*.part"))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_training_has_the_weights_of_an_unbroken_one(tiny_manifest, root, unbroken, workers):
    assert not list((root / ".work").rglob("lock.json")), "the claim was not given back"
    same(train(config(tiny_manifest, workers=workers), root=root, progress=False), unbroken)


def test_damaged_files_of_an_interrupted_training_do_no_harm(tiny_manifest, root, unbroken, caplog):
    (draft,) = (p for p in (root / ".work").iterdir() if p.suffix != ".checkpoints")
    (last,) = (root / ".work").glob("*.checkpoints/last.ckpt")
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    for name in ("history.csv", "events.jsonl"):
        (draft / name).write_bytes((draft / name).read_bytes()[:-20])
    same(train(config(tiny_manifest), root=root, progress=False), unbroken)
    assert "last.ckpt is damaged" in caplog.text
    assert "--fresh" in caplog.text


def test_damaged_weights_of_the_best_epoch_are_never_released(tiny_manifest, root):
    (last,) = (root / ".work").glob("*.checkpoints/last.ckpt")
    state = torch.load(last, weights_only=True)
    (callback,) = (v for k, v in state["callbacks"].items() if "CheckpointCallback" in k)
    callback["best"] = 2.0  # no later epoch is better
    torch.save(state, CheckpointStore(last.parent).part)
    CheckpointStore(last.parent).commit()
    best = bytearray((last.parent / BEST).read_bytes())
    best[-1] ^= 1
    (last.parent / BEST).write_bytes(best)
    with pytest.raises(RunError, match="best epoch's weights as they were written.*--fresh"):
        train(config(tiny_manifest), root=root, progress=False)
    assert list_runs(root) == ([], [])


class Keys(torch.utils.data.Dataset):
    """What a patch and its augmentation are drawn from: index and epoch."""

    def __len__(self) -> int:
        return 13

    def __getitem__(self, key):
        return torch.tensor(key if isinstance(key, tuple) else (key, -1))


class Recorder(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen: list = []

    def training_step(self, batch):
        self.seen.append((self.current_epoch, batch.tolist(), torch.rand(1).item()))
        return self.layer(torch.ones(1)).sum()

    def on_train_epoch_start(self) -> None:
        torch.manual_seed(self.current_epoch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Save(pl.callbacks.Checkpoint):
    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        trainer.save_checkpoint(self.path / f"{trainer.current_epoch}.ckpt")


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*", "ignore:.*worker.*")
@pytest.mark.parametrize(
    ("workers", "persistent"), [(0, False), (1, False), (1, True), (2, False), (2, True), (4, False), (4, True)]
)
def test_a_resumed_epoch_has_its_own_order_and_augmentation(tiny_manifest, tmp_path, monkeypatch, workers, persistent):
    """Index, epoch and the global random numbers that dropout draws, batch by batch."""
    made = loop.DataLoader
    monkeypatch.setattr(loop, "DataLoader", lambda *a, **k: made(*a, **k, persistent_workers=persistent))
    settings = config(tiny_manifest, workers=workers)

    def fit(epochs: int, checkpoint: Path | None = None) -> list:
        trainer = pl.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            callbacks=[Save(tmp_path)],
        )
        module, (loader, _) = Recorder(), loop.batches(settings, {"train": Keys(), "val": Keys()}, trainer)
        trainer.fit(module, loader, ckpt_path=checkpoint, weights_only=True)
        return module.seen

    whole = fit(3)
    assert {e for epoch, batch, _ in whole for _, e in batch if e != epoch} == set()
    assert len({str([b for e, b, _ in whole if e == epoch]) for epoch in range(3)}) == 3
    assert fit(3, tmp_path / "0.ckpt") == [s for s in whole if s[0] >= 1]
    assert fit(3, tmp_path / "1.ckpt") == [s for s in whole if s[0] >= 2]


@pytest.mark.filterwarnings("ignore:.*worker.*")
@pytest.mark.parametrize("workers", [0, 1, 2, 4])
def test_two_processes_resume_with_the_shares_of_the_epoch(tiny_manifest, workers):
    def share(rank: int, workers: int) -> list:
        progress = SimpleNamespace(current=SimpleNamespace(processed=2))
        trainer = SimpleNamespace(global_rank=rank, world_size=2, fit_loop=SimpleNamespace(epoch_progress=progress))
        loader, _ = loop.batches(
            config(tiny_manifest, workers=workers, batch_size=2), {"train": Keys(), "val": Keys()}, trainer
        )
        return [batch.tolist() for batch in loader]

    mine, others = share(0, workers), share(1, workers)
    assert (mine, others) == (share(0, 0), share(1, 0))
    assert {e for batch in mine + others for _, e in batch} == {2}
    first, second = ({i for batch in part for i, _ in batch} for part in (mine, others))
    assert not first & second


# what ends a training


def test_a_diverged_training_stops_with_a_sentence(tiny_manifest, tmp_path):
    with pytest.raises(Diverged, match=r"finite number, but got (nan|inf) in epoch 1.*lower train.lr"):
        train(config(tiny_manifest, lr=1e30, warmup_epochs=0), root=tmp_path, progress=False)
    assert not list(tmp_path.rglob("last.ckpt"))
    assert not list(tmp_path.rglob("lock.json"))


@pytest.mark.parametrize("damage", ["deleted", "not an image"])
def test_a_patch_that_is_lost_while_training_gives_the_same_sentence_with_workers(
    tiny_manifest, tmp_path, monkeypatch, damage
):
    data = Path(shutil.copytree(Path(tiny_manifest).parent, tmp_path / "data"))
    manifest = read_manifest(data / Path(tiny_manifest).name)
    original, said = loop.train_network, []

    def lose(*args, **kwargs):
        for path in manifest.frame["path"]:
            if damage == "deleted":
                manifest.file(path).unlink()
            else:
                manifest.file(path).write_bytes(b"no image")
        return original(*args, **kwargs)

    pixels = {path: manifest.file(path).read_bytes() for path in manifest.frame["path"]}
    monkeypatch.setattr("her2core.training.fit.train_network", lose)
    for workers in (0, 2):
        with pytest.raises(Her2Error) as refused:
            train(config(data / Path(tiny_manifest).name, workers=workers, cache_gb=0), root=tmp_path, progress=False)
        said.append((type(refused.value), str(refused.value)))
        for path, content in pixels.items():
            manifest.file(path).write_bytes(content)
    assert said[0] == said[1]
    assert not list(tmp_path.rglob("lock.json"))


def command(monkeypatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["her2", *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return left.value.code


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_what_the_system_refuses_is_one_sentence_and_the_training_resumes(
    tiny_manifest, root, unbroken, tmp_path, monkeypatch, capsys, number
):
    def refused(self):
        raise OSError(number, "refused", str(self.last))

    path = tmp_path / "config.yaml"
    path.write_text(config(tiny_manifest).to_yaml())
    words = ("train", str(path), "--runs", str(root), "--quiet")
    with monkeypatch.context() as patch:
        patch.setattr(CheckpointStore, "commit", refused)
        assert command(patch, *words) == 1
    said = capsys.readouterr().err
    assert said.startswith("Error: Expected a file or folder that can be used")
    assert "last.ckpt" in said
    assert "Traceback" not in said
    assert "fault of her2core" not in said
    assert ("Free space" in said) == (number == errno.ENOSPC)
    assert list_runs(root) == ([], [])
    if number == errno.ENOSPC:
        assert command(monkeypatch, *words, "--json") == 0
        assert json.loads(capsys.readouterr().out)["run"] == str(root / "t")
        same(list_runs(root)[0][0], unbroken)


def test_weights_that_do_not_fit_on_the_disk_are_a_system_error(tmp_path, monkeypatch):
    from safetensors import SafetensorError

    from her2core.networks import weights
    from her2core.networks.registry import build_network

    def full(state, path):
        Path(path).write_bytes(b"half")
        raise SafetensorError('IoError(Os { code: 28, kind: StorageFull, message: "No space left on device" })')

    monkeypatch.setattr(weights, "save_file", full)
    with pytest.raises(OSError, match="No space left") as refused:
        weights.save_weights(build_network("timm:test_resnet", 3), tmp_path / "w.safetensors")
    assert refused.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_one_sentence(tiny_manifest, tmp_path, monkeypatch, capsys):
    (tmp_path / "runs").write_text("a file where the folder should be")
    path = tmp_path / "config.yaml"
    path.write_text(config(tiny_manifest).to_yaml())
    assert command(monkeypatch, "train", str(path), "--runs", str(tmp_path / "runs"), "--quiet") == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_killed_worker_is_a_sentence(tiny_manifest, tmp_path, monkeypatch):
    def killed(*args, **kwargs):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")

    monkeypatch.setattr(pl.Trainer, "fit", killed)
    with pytest.raises(RunError, match=r"lack of memory \(hardware.workers\)"):
        train(config(tiny_manifest), root=tmp_path, progress=False)


def test_hardware_that_changes_the_weights_is_part_of_the_hash(tiny_manifest, monkeypatch):
    from her2core.training.fit import _key

    base, manifest = config(tiny_manifest), read_manifest(tiny_manifest)

    def changed(**hardware) -> RunConfig:
        return base.model_copy(update={"hardware": base.hardware.model_copy(update=hardware)})

    for same_weights in ({"workers": 2}, {"cache_gb": 0.0}, {"features": Path("elsewhere")}):
        assert changed(**same_weights).content_hash() == base.content_hash()
        assert _key(changed(**same_weights), manifest) == _key(base, manifest)
    others = [
        {"precision": "bf16-mixed"},
        {"precision": "32-true"},
        {"devices": 4},
        {"nodes": 2},
        {"accelerator": "auto"},
        {"strategy": "ddp"},
    ]
    hashes = {changed(**other).content_hash() for other in others} | {base.content_hash()}
    assert len(hashes) == len(others) + 1
    here = _key(changed(precision="auto", accelerator="auto"), manifest)
    monkeypatch.setattr("her2core.training.fit.machine", lambda hardware: {"precision": "16-mixed"})
    assert _key(changed(precision="auto", accelerator="auto"), manifest) != here, "auto means something else there"


def test_released_runs_have_the_hash_of_their_configuration():
    from her2core.study.out_of_fold import hash_of_folds
    from her2core.training.config import load_config

    models = Path(__file__).parents[1] / "models"
    runs = sorted(p.parent for p in models.rglob("run.json"))
    assert len(runs) > 40
    for run in runs:
        told = json.loads((run / "run.json").read_text())["config_hash"]
        config = load_config(run / "config.yaml")
        if config.split.fold is None:
            assert told == config.content_hash(), run
        else:  # an out-of-fold run: its configuration is that of the first fold
            folds = int(pd.read_parquet(run / "splits.parquet")["fold"].max()) + 1
            assert told == hash_of_folds(_with_fold(config, k) for k in range(folds)), run


def _with_fold(config, held_out):
    fold = config.split.fold.model_copy(update={"held_out": held_out})
    return config.model_copy(update={"split": config.split.model_copy(update={"fold": fold})})


def test_the_run_has_the_chosen_name(tiny_manifest, root, tmp_path, monkeypatch, capsys, unbroken):
    assert unbroken.name == "t"
    assert RunWriter(root, "key", name="mine").name == "mine"
    path = tmp_path / "config.yaml"
    path.write_text(config(tiny_manifest).to_yaml())
    assert command(monkeypatch, "train", str(path), "--name", "a-name-of-more-than-24-letters") == 1
    assert "24" in capsys.readouterr().err
