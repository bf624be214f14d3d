"""`python -m kpl.export --out face.onnx`: the released networks as one ONNX file, compared with torch and timed.

Input `views` (B, 3, S, S, 3) uint8: crops of the left, middle and right picture, RGB, upright, a missing one black; S
is the largest of the networks' sizes. Outputs: `landmarks` (B, 106, 3), the mean over networks and mirrored copies, in
the canonical frame and corrected, and `disagreement` (B, 106), their root mean square distance from that mean. Needs
requirements-export.txt.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from kpl import correction, ensemble
from kpl.errors import BadInput
from kpl.files import atomic
from kpl.training.inference import mirror_shape, mirror_views

PARITY = 1e-4  # canonical units, a seven-thousandth of the eyes' distance
OPSET = 20


class Together(nn.Module):
    """The networks of an ensemble as one, with their mirrored copies."""

    def __init__(self, members: ensemble.Ensemble) -> None:
        super().__init__()
        self.networks = nn.ModuleList(members.networks)
        self.sizes = members.sizes
        self.corrected = members.correction is not None
        for name, part in zip(("weight", "bias"), members.correction or ()):
            self.register_buffer(name, part)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """views (B, 3, S, S, 3) uint8 -> landmarks (B, 106, 3) and disagreement (B, 106)."""
        answers = []
        for network, size in zip(self.networks, self.sizes):
            own = views if views.shape[2] == size else _smaller(views, size)
            answers += [network(own).points3d, mirror_shape(network(mirror_views(own)).points3d)]
        members = torch.stack(answers)
        landmarks = members.mean(dim=0)
        disagreement = (members - landmarks).square().sum(dim=3).mean(dim=0).sqrt()
        if self.corrected:
            landmarks = correction.apply((self.weight, self.bias), landmarks, views)
        return landmarks, disagreement


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kpl.export", description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, required=True, metavar="ONNX")
    parser.add_argument(
        "--weights", default="released", metavar="FOLDER", help="of kpl.release; default: the package's"
    )
    options = parser.parse_args(arguments)
    try:
        found = export(ensemble.load(options.weights), options.out)
    except BadInput as error:
        print(f"kpl.export: {error}", file=sys.stderr)
        return 1
    print(
        f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, largest difference {found['difference']:.1e}, "
        f"one sample in {1000 * found['onnx_seconds']:.1f} ms (torch: {1000 * found['torch_seconds']:.1f} ms)"
    )
    return 0


def export(members: ensemble.Ensemble, file: Path) -> dict[str, float]:
    """Write the ONNX file; returns the largest difference to torch and the seconds that a sample takes in each.

    Raises BadInput if a package is missing or the file answers otherwise than torch by more than PARITY.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  torch's exporter writes with it
    except ImportError as error:
        raise BadInput(f"{error.name} is not installed: pip install -r requirements-export.txt") from None
    together = Together(members).eval().cpu()
    size = max(members.sizes)
    example = _noise(2, size, seed=0)
    program = torch.onnx.export(
        together,
        (example,),
        dynamo=True,
        opset_version=OPSET,
        input_names=["views"],
        output_names=["landmarks", "disagreement"],
        dynamic_shapes={"views": {0: torch.export.Dim("samples", min=1, max=1024)}},
        verbose=False,
    )
    with atomic(file) as temporary:
        onnx.save_model(program.model_proto, str(temporary))  # in one file: it is small
    session = onnxruntime.InferenceSession(str(file), _one_thread(onnxruntime), providers=["CPUExecutionProvider"])
    difference = 0.0
    for count in (1, 3):
        views = _noise(count, size, seed=count)
        with torch.inference_mode():
            expected = together(views)
        for ours, theirs in zip(expected, session.run(None, {"views": views.numpy()})):
            difference = max(difference, float(np.abs(ours.numpy() - theirs).max()))
    if not difference <= PARITY:
        file.unlink()
        raise BadInput(f"the ONNX file answers otherwise than torch, by {difference:.1e}: it was removed.")
    one = _noise(1, size, seed=9)
    return {
        "difference": difference,
        "onnx_seconds": _seconds(lambda: session.run(None, {"views": one.numpy()})),
        "torch_seconds": _seconds(lambda: together(one)),
    }


def _one_thread(onnxruntime):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()  # as many as torch has
    return options


def _noise(count: int, size: int, seed: int) -> Tensor:
    """Smooth random pictures: (count, 3, size, size, 3) uint8."""
    coarse = torch.rand(count * 3, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    fine = nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return (fine * 255).to(torch.uint8).permute(0, 2, 3, 1).unflatten(0, (count, 3)).contiguous()


def _smaller(views: Tensor, size: int) -> Tensor:
    """Views at another size, antialiased."""
    flat = views.flatten(0, 1).permute(0, 3, 1, 2).float()
    small = nn.functional.interpolate(flat, size=(size, size), mode="bilinear", antialias=True)
    return small.round().to(torch.uint8).permute(0, 2, 3, 1).unflatten(0, (-1, 3))


def _seconds(run, repeats: int = 20) -> float:
    times = []
    with torch.inference_mode():
        for _ in range(repeats):
            started = time.perf_counter()
            run()
            times.append(time.perf_counter() - started)
    return median(times)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
