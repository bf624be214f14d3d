"""An executed notebook without its code, on one page that needs no network and fits a phone as it fits a desk.

python notebooks/report.py EXECUTED.ipynb OUT.html

A code cell tagged "top" comes right below the title, a cell tagged "notebook" is left out, and the outputs of one
tagged "pairs" stand in two columns where there is room. Pictures become WebP, and plotly is put in once.
"""

import base64
import io
import sys
from pathlib import Path
from typing import Any

import nbformat
import plotly
from nbconvert import HTMLExporter
from PIL import Image

from kpl.errors import BadInput
from kpl.files import atomic

_TEMPLATE = Path(__file__).with_name("report.html.j2")
_TURNED = "application/vnd.plotly.v1+json"


def write(executed_notebook: str | Path, file: str | Path) -> None:
    """Write the page, atomically. Raises BadInput if there is no such notebook."""
    try:
        notebook = nbformat.read(executed_notebook, as_version=4)
    except (OSError, ValueError) as error:
        raise BadInput(f"{executed_notebook} is no notebook that can be read ({error}).") from None
    (title, *cells) = [cell for cell in notebook.cells if "notebook" not in cell.metadata.get("tags", ())]
    notebook.cells = [title, *sorted(cells, key=lambda cell: "top" not in cell.metadata.get("tags", ()))]
    for output in [output for cell in cells for output in cell.get("outputs", ()) if "data" in output]:
        output.data = _slim(output.data)
    page, _ = HTMLExporter(template_file=str(_TEMPLATE), exclude_input=True).from_notebook_node(notebook)
    script = plotly.offline.get_plotlyjs() if "Plotly.newPlot" in page else ""
    with atomic(file) as temporary:
        temporary.write_text(page.replace("/* plotly */", script, 1), encoding="utf-8")


def _slim(data: dict[str, Any]) -> dict[str, Any]:
    """An output as it goes on the page."""
    if _TURNED in data:
        look, figure = {"responsive": True, "displayModeBar": False}, dict(data[_TURNED])
        figure.pop("config", None)
        return {"text/html": plotly.io.to_html(figure, look, include_plotlyjs=False, full_html=False, validate=False)}
    if "image/png" in data:
        buffer = io.BytesIO()
        with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as image:
            image.convert("RGB").save(buffer, "webp", quality=82)
        source = base64.b64encode(buffer.getvalue()).decode()
        return {"text/html": f'<img alt="chart" src="data:image/webp;base64,{source}">'}
    return data


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        write(*sys.argv[1:])
    except BadInput as error:
        sys.exit(f"report: {error}")
