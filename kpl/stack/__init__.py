"""From the networks' out-of-fold predictions to one shape: gather, average, learn, choose.

03_oof gathers; 04_stack fits second layers, of which the trees and the neural head stand in its own cells; 05_submit
asks for the shapes.
"""

from kpl.stack.averages import equal_weights, fit_weights, weighted_average
from kpl.stack.choice import FALLBACKS, Choice, choose, nested_choice
from kpl.stack.crossfit import StackStore, cross_fit, load_stack, refit
from kpl.stack.final import is_training_store, shapes_to_submit
from kpl.stack.layers import BLENDED, LAYERS, Said, blended, in_threads, on_weighted_mean
from kpl.stack.layers import ridge, whole_face, with_mirrored
from kpl.stack.notebook import method, refit_called
from kpl.stack.oof import FEWEST, GROUPS, OofStore, gather, groups_of, load, mean_shape
