"""A Keras network of any generation, run in a graph of TensorFlow.

Its layers are named, their calls recorded, and traces kept for as long as they hold.
"""

from cnnviz.starting import quiet_face

__getattr__, __dir__, __all__ = quiet_face(__name__, __file__)
