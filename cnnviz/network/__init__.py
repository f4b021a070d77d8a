"""Any Keras network as something that can be shown images.

Pixels are encoded as it expects them, and it is asked for the output of any layer, for
its classes, and for what it has learned.
"""

from cnnviz.starting import quiet_face

__getattr__, __dir__, __all__ = quiet_face(__name__, __file__)
