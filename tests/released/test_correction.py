"""The linear correction that travels with released weights."""

import numpy as np
import pytest
import torch
from safetensors.torch import save

from kpl.errors import BadInput
from kpl.landmarks import MEAN_SHAPE
from kpl.networks import load_weights
from kpl.released import correction
from kpl.stack import ridge


def test_it_adds_what_ridge_learnt_and_leaves_faces_with_a_missing_view_alone(tmp_path):
    rng = np.random.default_rng(0)
    truth = MEAN_SHAPE + np.tensordot(rng.normal(size=(90, 6)), rng.normal(0, 0.02, (6, 106, 3)), axes=1)
    timid = MEAN_SHAPE + 0.6 * (truth - MEAN_SHAPE) + [0, 0.01, 0]
    subjects = np.repeat(np.arange(30), 3).astype(str)
    file, found = tmp_path / "c.safetensors", correction.Correction()
    file.write_bytes(save(correction.fit(timid[:60], truth[:60], subjects[:60]).state_dict()))
    load_weights(found, str(file))
    present = torch.ones(30, 3, dtype=torch.bool)
    present[0, 1] = False
    corrected = found(torch.from_numpy(timid[60:]).float(), present).numpy()
    np.testing.assert_array_equal(corrected[0], timid[60].astype(np.float32))
    asked = ridge(timid[None, :60], truth[:60], subjects[:60], timid[None, 60:], 0)
    np.testing.assert_allclose(corrected[1:], asked[1:], atol=1e-5)
    assert np.abs(corrected[1:] - truth[61:]).mean() < 0.2 * np.abs(timid[61:] - truth[61:]).mean()
    file.write_bytes(b"damaged")
    with pytest.raises(BadInput, match="not a safetensors file that can be read"):
        load_weights(found, str(file))


def test_before_it_is_fitted_it_changes_nothing():
    landmarks = torch.randn(4, 106, 3)
    assert torch.equal(correction.Correction()(landmarks, torch.ones(4, 3, dtype=torch.bool)), landmarks)
