"""Any Keras network as something that can be shown images.

It is named, traced, encoded, and asked for the output of any layer.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
