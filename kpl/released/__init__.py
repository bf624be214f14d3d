"""Released weights and what asks them: networks that were made ready to be used, and a face from three pictures."""

from kpl.released.ensemble import CARD, RELEASED, Answer, Ensemble, answer, load, released_file
from kpl.released.face import STRANGE, Face, predict
