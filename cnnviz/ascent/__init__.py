"""The one loop of gradient ascent: images that maximize an objective.

from cnnviz.ascent import maximize
from cnnviz.objectives import channel, total_variation

maximize(model, channel("conv3", range(64)) - 0.1 * total_variation()).images
"""

from cnnviz.starting import quiet_face

__getattr__, __dir__, __all__ = quiet_face(__name__, __file__)
