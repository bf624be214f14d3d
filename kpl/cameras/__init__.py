"""Where three cameras stand: fitted to what they see, or drawn at random to learn from."""

from kpl.cameras.fitting import Fit, components, fit, normalised
from kpl.cameras.rigs import draw, project
