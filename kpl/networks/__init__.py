"""Networks: three pictures of a face in, 106 landmarks in 3D out. They know nothing of files or training.

A new fusion, head or loss is a class or function in its file, a name at that file's end, and a word in kpl.config.
"""

from kpl.networks.backbones import BACKBONES, Backbone, Start, starting_weights
from kpl.networks.encoders import SHARES
from kpl.networks.fusions import FUSIONS
from kpl.networks.heads import HEADS
from kpl.networks.losses import LOSSES, points2d_loss
from kpl.networks.maps import SUBSETS, scatter, spatial_softmax
from kpl.networks.network import Answer, FaceNetwork, create, views_present
from kpl.networks.weights import PACKAGED, load_weights
