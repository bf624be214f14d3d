"""Pictures of scores, shapes and faces for the notebooks.

Predictions are orange, truth is blue. Functions return a matplotlib figure unless they say otherwise. Whatever text
they are given is data, a sample's name perhaps, and is drawn as it stands: never as a formula, never as HTML.
"""

from kpl.draw.charts import error_curves, intervals, reliability
from kpl.draw.pictures import contact_sheet, fit_camera, maps_on_picture, overlaid
from kpl.draw.shapes import face_to_turn, faces_in_3d, found_face, landmark_groups
from kpl.draw.words import table, tiles
