"""What a traced TensorFlow graph says of itself.

Who depends on whom, what a unit sees of the image, where the logits are.
"""

from cnnviz.starting import quiet_face

__getattr__, __dir__, __all__ = quiet_face(__name__, __file__)
