"""The released networks as an ONNX file."""

import numpy as np
import pytest
import torch

from kpl import export, released


@pytest.mark.slow
def test_the_onnx_file_answers_as_torch_does(weights, triple, tmp_path):
    pytest.importorskip("onnxscript", reason="needs requirements-export.txt")
    runtime = pytest.importorskip("onnxruntime", reason="needs requirements-export.txt")
    members, file = released.load(weights), tmp_path / "face.onnx"
    assert export.export(members, file) <= export.PARITY
    crops = released.predict(*triple, weights=weights).crops[None, :, ::3, ::3]  # 32 pixels, as the network sees
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    for count in (1, 5):  # any number of samples, one without its right view
        views = np.repeat(crops, count, axis=0).copy()
        views[-1, 2] = 0 if count > 1 else views[-1, 2]
        with torch.inference_mode():
            expected = members(torch.from_numpy(views))
        for ours, theirs in zip(expected, session.run(None, {"views": views}), strict=True):
            np.testing.assert_allclose(theirs, ours.numpy(), atol=export.PARITY)


def test_a_place_that_cannot_be_written_is_said_first(weights, tmp_path):
    with pytest.raises(SystemExit, match="kpl.export: --out is '.*', where no file can be"):
        export.main(["--out", str(tmp_path), "--weights", str(weights)])
