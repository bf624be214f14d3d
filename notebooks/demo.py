"""`./run_all.sh demo`: a page on this machine alone, where photographs of a face become landmarks that can be turned.

Nothing leaves the machine: no telemetry, nothing is loaded from elsewhere, and there is no public link unless `--share`
asks for one. What was uploaded, and what came of it, is deleted after an hour.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
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
EXAMPLES = {
    "a face of the studio": [str(HERE / f"example/{view}.jpg") for view in VIEWS],
    "a portrait alone": [None, str(PORTRAITS / "astronaut.png"), None],
}
STYLE = ".modebar-container { display: none }"  # plotly's buttons, one of which leads to its makers
HOUR = 3600
INTRODUCTION = """# A face in 3D from three photographs

Three pictures of one face, taken at once, with the head turned by about 30 degrees between them; one or two will do,
less well. Everything is computed on this machine, and nothing leaves it."""


def answer(left: str | None, middle: str | None, right: str | None, progress=gr.Progress()) -> Iterator[tuple]:
    """Yields once: what is said, whether more is shown, the drawing, the face to turn, and the files to download."""
    given = [picture for picture in (left, middle, right) if picture]
    if not given:
        yield only("Give at least one picture.")
        return
    progress(0.1, "looking for the face")
    try:
        face = kpl.predict(left, middle, right)
    except BadInput as error:
        yield only(f"**Not possible:** {by_name(str(error), given)}")
        return
    progress(0.6, "drawing")
    turned = kpl.draw.face_to_turn(face.landmarks[None], [""]).update_layout(height=420)
    turned.layout.updatemenus = None  # there is nothing to choose
    with tempfile.TemporaryDirectory() as name:  # Gradio has its own copies once it comes back
        folder = Path(name)
        yield words(face), gr.Column(visible=True), drawn(face, folder / "face.png"), turned, downloads(face, folder)


def only(said: str) -> tuple:
    """An answer without a face."""
    return said, gr.Column(visible=False), None, None, None


def by_name(said: str, given: list[str]) -> str:
    """A sentence in which files are called as the visitor calls them, not by where they lie."""
    for picture in given:
        said = said.replace(picture, Path(picture).name)
    return said


def drawn(face, file: Path) -> str:
    """The file, in which the pictures and the face from three sides are drawn."""
    figure = kpl.draw.found_face(face.crops, face.crop_points, face.landmarks, face.spread)
    figure.savefig(file, dpi=120)
    plt.close(figure)
    return str(file)


def words(face) -> str:
    """How sure the landmarks are, where the cameras stood, and the warnings."""
    sure = f"Expected error **{face.spread.mean() / kpl.landmarks.EYE_DISTANCE:.1%}** of the distance between the eyes."
    yaws = ", ".join(f"{view} {yaw:+.0f}°" for view, yaw in zip(VIEWS, face.yaw) if np.isfinite(yaw))
    return "\n\n".join([f"{sure} Where the cameras stood: {yaws}.", *(f"⚠️ {warning}" for warning in face.warnings)])


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
    with gr.Blocks(title="A face in 3D", delete_cache=(60, HOUR)) as blocks:
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            kinds = ["image", ".heic", ".heif", ".tif", ".tiff"]
            given = [gr.File(label=f"{view}: {how}", file_types=kinds, height=180) for view, how in VIEWS.items()]
        gr.Examples(list(EXAMPLES.values()), given, example_labels=list(EXAMPLES))
        button = gr.Button("Find the landmarks", variant="primary")
        said = gr.Markdown(elem_id="said")
        with gr.Column(visible=False) as found:
            drawing = gr.Image(show_label=False, interactive=False, buttons=["download", "fullscreen"])
            with gr.Row():
                turned = gr.Plot(label="drag to turn", scale=2)
                files = gr.File(label="to download", interactive=False, file_count="multiple")
        button.click(answer, given, [said, found, drawing, turned, files])
    return blocks


def main() -> None:
    parser = argparse.ArgumentParser(prog="./run_all.sh demo", description=__doc__.split("\n\n")[0])
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--share", action="store_true", help="a public link through Gradio's servers")
    options = parser.parse_args()
    kpl.released.load()  # before the first visitor waits for it
    look = {"theme": gr.themes.Base(), "css": STYLE, "footer_links": [], "show_error": True, "ssr_mode": False}
    places = [str(HERE / "example"), str(PORTRAITS)]
    page().launch(server_name="127.0.0.1", server_port=options.port, share=options.share, allowed_paths=places, **look)


if __name__ == "__main__":
    main()
