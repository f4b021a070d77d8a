"""What a traced TensorFlow graph says of itself.

Who depends on whom, what a unit sees of the image, where the logits are.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
