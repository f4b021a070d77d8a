"""Any Keras network as something that can be shown images.

It is named, traced, encoded, and asked for the output of any layer.
"""

from cnnviz.starting import quiet_face

__getattr__, __dir__, __all__ = quiet_face(__name__, __file__)
