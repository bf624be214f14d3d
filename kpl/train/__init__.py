"""What a fold's training needs, and what keeps hours of it safe. The loop itself stands in 02_train_fold."""

from kpl.train.folds import hold_out
from kpl.train.inference import Look, answered, fit_cameras, look, predict_network, predict_rows, trained
from kpl.train.provenance import refuse_another
from kpl.train.run import Run, rate
from kpl.train.views import Views
