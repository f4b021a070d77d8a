"""cnnviz: see what a convolutional network does, on any Keras model.

Importing the package is instant: TensorFlow comes with the first function to need it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.1.0"
