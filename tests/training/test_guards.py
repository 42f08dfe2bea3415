import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.losses import DiceCELoss
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged

from medseg import training as t
from medseg.errors import DataError, LabelError, TrainingError
from tests.training import toy


class Diverging(torch.nn.Module):
    """A loss that becomes infinite at its fifth call."""

    def __init__(self) -> None:
        super().__init__()
        self.loss, self.n_calls = DiceCELoss(to_onehot_y=True, softmax=True), 0

    def forward(self, scores, label):
        self.n_calls += 1
        return self.loss(scores, label) * (float("inf") if self.n_calls == 5 else 1.0)


def test_an_infinite_loss_stops_the_run_with_the_case_names_and_keeps_the_last_good_checkpoint(tmp_path):
    with pytest.raises(TrainingError, match=r"loss of inf at step 5 with the cases ball\d, ball\d"):
        toy.trainer(tmp_path, loss=Diverging(), interval=1).run()
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert kept["step"] == 3
    assert all(bool(torch.isfinite(value).all()) for value in kept["network"].values())


def test_a_weight_that_is_not_finite_stops_the_run_before_it_is_averaged(tmp_path):
    trainer = toy.trainer(tmp_path, interval=1)

    def spoil(engine):
        if engine.state.iteration == 4:
            engine.network[0].weight.data[0, 0, 0, 0, 0] = float("nan")

    trainer.add_event_handler(Events.ITERATION_STARTED, spoil)
    # The loss is NaN too, so only weights are looked at here.
    trainer.loss_function = lambda scores, _: torch.nan_to_num(scores).pow(2).mean()
    with pytest.raises(TrainingError, match=r"weights of 0\.weight that are not finite at step 4 .*ball"):
        trainer.run()
    kept = torch.load(tmp_path / "last.pt", weights_only=True)
    assert all(bool(torch.isfinite(value).all()) for value in kept.values())


def test_a_label_that_is_not_declared_stops_the_run_before_the_first_step_with_the_case_name(tmp_path):
    rows = toy.cases()
    rows[4]["label"][0, 3, 3, 3] = 7
    with pytest.raises(LabelError, match="case ball4: label values 7; expected only 0, 1"):
        toy.trainer(tmp_path, data=rows)


def test_a_nan_voxel_stops_the_run_before_the_first_step_with_the_case_name(tmp_path):
    rows = toy.cases()
    rows[2]["image"][0, 1, 2, 3] = np.nan
    with pytest.raises(DataError, match="case ball2: 1 voxels of its image are NaN or infinite"):
        toy.trainer(tmp_path, data=rows)


@pytest.mark.parametrize("value", [257, 0.6, -1])
def test_a_label_in_a_file_that_a_cast_would_change_is_found(tmp_path, value):
    label = np.zeros((4, 4, 4), np.float32)
    label[1, 1, 1] = value
    for name, array in {"image": np.ones((4, 4, 4), np.float32), "label": label}.items():
        nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / f"{name}.nii.gz")
    row = {"case": "odd", "image": str(tmp_path / "image.nii.gz"), "label": str(tmp_path / "label.nii.gz")}
    keys = ["image", "label"]
    read = Compose([LoadImaged(keys, reader="NibabelReader"), EnsureChannelFirstd(keys)])
    with pytest.raises(LabelError, match="case odd: label values"):
        t.CachedDataset([row], read, labels=toy.LABELS)


def test_a_file_that_cannot_be_read_is_told_with_the_case_name(tmp_path):
    (tmp_path / "image.nii.gz").write_bytes(b"not gzip")
    row = {"case": "torn", "image": str(tmp_path / "image.nii.gz")}
    read = Compose([LoadImaged("image", reader="NibabelReader"), EnsureChannelFirstd("image")])
    with pytest.raises(DataError, match="case torn can't be read"):
        t.CachedDataset([row], read)
