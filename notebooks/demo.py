"""`./run_all.sh demo`: a page on this machine alone, where photographs of a face become landmarks that can be turned.

Nothing leaves the machine: no telemetry, nothing is loaded from elsewhere, and there is no public link unless `--share` asks
for one. What was uploaded is deleted after an hour.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}  # before Gradio is imported

import gradio as gr
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import skimage

import kpl
from kpl.errors import BadInput
from kpl.files import write_json
from kpl.landmarks import NAMES, OUTLINES

matplotlib.use("Agg")
HERE, PORTRAITS = Path(__file__).parent, Path(skimage.__file__).parent / "data"
VIEWS = {"left": "the nose points to the right", "middle": "from the front", "right": "the nose points to the left"}
EXAMPLES = [[str(HERE / f"example/{view}.jpg") for view in VIEWS], [None, str(PORTRAITS / "astronaut.png"), None]]
HOUR = 3600
INTRODUCTION = """# A face in 3D from three photographs

Three pictures of one face, taken at once, with the head turned by about 30 degrees between them; one or two will do, less well.
Everything is computed on this machine, and nothing leaves it."""


def answer(left: str | None, middle: str | None, right: str | None, progress=gr.Progress()) -> tuple:
    """What is said, the drawing, the face to turn and the files to download; of pictures without a face only what is said."""
    nothing = None, None, None
    if not any((left, middle, right)):
        return "Give at least one picture.", *nothing
    progress(0.1, "looking for the face")
    try:
        face = kpl.predict(left, middle, right)
    except BadInput as error:
        return f"**Not possible:** {error}", *nothing
    progress(0.6, "drawing")
    figure = kpl.draw.found_face(face.crops, face.crop_points, face.landmarks, face.spread)
    folder = Path(tempfile.mkdtemp(dir=os.environ.get("GRADIO_TEMP_DIR")))
    figure.savefig(folder / "face.png", dpi=120)
    plt.close(figure)
    turned = kpl.draw.face_to_turn(face.landmarks[None], ["the face"])
    return words(face), str(folder / "face.png"), turned, downloads(face, folder)


def words(face) -> str:
    """How sure the landmarks are, where the cameras stood, and the warnings."""
    yaws = ", ".join("no camera" if np.isnan(yaw) else f"{yaw:+.0f}°" for yaw in face.yaw)
    sure = f"Expected error **{face.spread.mean() / kpl.landmarks.EYE_DISTANCE:.1%}** of the distance between the eyes."
    return "\n\n".join([f"{sure} The cameras stood at {yaws}.", *(f"⚠️ {warning}" for warning in face.warnings)])


def downloads(face, folder: Path) -> list[str]:
    """The landmarks as JSON (all that kpl.predict says), as CSV, and as OBJ with the outlines as lines."""
    write_json(folder / "face.json", kpl.predict.as_json(face, kpl.released.load().card))
    table = pd.DataFrame(face.landmarks, columns=list("xyz")).assign(spread=face.spread)
    table.insert(0, "name", NAMES)
    table.to_csv(folder / "face.csv", index_label="index", float_format="%.6f")
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in face.landmarks]
    lines += [" ".join(["l", *(str(i + 1) for i in outline)]) for outline in OUTLINES.values()]
    (folder / "face.obj").write_text("\n".join(lines) + "\n")
    return [str(folder / f"face.{kind}") for kind in ("json", "csv", "obj")]


def page() -> gr.Blocks:
    with gr.Blocks(title="A face in 3D", delete_cache=(HOUR, HOUR)) as blocks:
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            kinds = ["image", ".heic", ".heif", ".tif", ".tiff"]
            given = [gr.File(label=f"{view}: {how}", file_types=kinds, height=140) for view, how in VIEWS.items()]
        gr.Examples(EXAMPLES, given, label="Examples: a face of the studio, and a portrait alone")
        button = gr.Button("Find the landmarks", variant="primary")
        said = gr.Markdown(elem_id="said")
        with gr.Row():
            drawing = gr.Image(label="what was found", interactive=False)
            turned = gr.Plot(label="drag to turn")
        files = gr.File(label="to download", interactive=False, file_count="multiple")
        button.click(answer, given, [said, drawing, turned, files])
    return blocks


def main() -> None:
    parser = argparse.ArgumentParser(prog="./run_all.sh demo", description=__doc__.split("\n\n")[0])
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--share", action="store_true", help="a public link through Gradio's servers")
    options = parser.parse_args()
    kpl.released.load()  # before the first visitor waits for it
    look = {"theme": gr.themes.Base(), "footer_links": [], "show_error": True, "ssr_mode": False}
    places = [str(HERE / "example"), str(PORTRAITS)]
    page().launch(server_name="127.0.0.1", server_port=options.port, share=options.share, allowed_paths=places, **look)


if __name__ == "__main__":
    main()
