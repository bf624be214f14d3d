"""`python -m kpl.export --out face.onnx`: the released networks as one ONNX file, compared with torch.

Input `views` (B, 3, S, S, 3) uint8: crops of the left, middle and right picture, RGB, upright, a missing one black; S
is the network's image size. Several networks have an input each, `views0`, `views1`. Outputs: `points2d` (B, 3, 106, 2), the
landmarks in the crops, crop units, and their `doubt` (B, 3, 106), to which kpl.cameras.fit, which is no network and no part of
the file, fits what kpl.predict answers; and `landmarks` (B, 106, 3) in the canonical frame, the heads' own and far less exact.
Needs requirements-export.txt.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from kpl import released
from kpl.errors import BadInput
from kpl.files import atomic, writable

PARITY = 1e-4  # canonical units, a seven-thousandth of the eyes' distance
OPSET = 20


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m kpl.export", description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", required=True, metavar="ONNX")
    parser.add_argument("--weights", default="released", help="folder of kpl.release; default: the package's")
    options = parser.parse_args(arguments)
    try:
        difference = export(released.load(options.weights), writable(options.out, "--out"))
    except (BadInput, OSError) as error:
        raise SystemExit(f"kpl.export: {error}") from None
    print(f"{options.out}: {Path(options.out).stat().st_size / 1e6:.1f} MB, largest difference {difference:.1e}")


def export(members: released.Ensemble, file: Path) -> float:
    """Write the ONNX file; returns the largest difference to torch.

    Raises BadInput if a package is missing, or if it would answer otherwise than torch by more than PARITY.
    """
    count = len(members.sizes)
    noise = lambda samples: tuple(torch.randint(256, (samples, 3, S, S, 3), dtype=torch.uint8) for S in members.sizes)
    names = {"input_names": ["views"] if count == 1 else [f"views{i}" for i in range(count)]}
    names["output_names"] = ["landmarks", "points2d", "doubt"]
    shapes = {"views": ({0: torch.export.Dim("samples", min=1, max=1024)},) * count}
    how = {"dynamo": True, "opset_version": OPSET, "dynamic_shapes": shapes, "verbose": False}
    try:
        program = torch.onnx.export(members.cpu(), noise(2), **names, **how)
        gap = max(_gap(members, program, noise(samples)) for samples in (1, 3))
    except ImportError as error:
        raise BadInput(f"{error}: pip install -r requirements-export.txt") from None
    if not gap <= PARITY:
        raise BadInput(f"the ONNX file would answer otherwise than torch, by {gap:.1e}: it is not written.")
    with atomic(file) as temporary:
        temporary.write_bytes(program.model_proto.SerializeToString())
    return gap


@torch.inference_mode()
def _gap(members: released.Ensemble, program: torch.onnx.ONNXProgram, views: tuple[Tensor, ...]) -> float:
    """How far the outputs are off at most; a landmark that is not looked for is NaN in both."""
    return max(float((ours - theirs).nan_to_num().abs().max()) for ours, theirs in zip(members(*views), program(*views)))


if __name__ == "__main__":
    main()
