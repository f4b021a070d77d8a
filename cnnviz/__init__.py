"""cnnviz: see what a convolutional network does, on any Keras model.

Importing the package is instant: TensorFlow comes with the first function to need it,
without its remarks on the machine unless TF_CPP_MIN_LOG_LEVEL asks for them.
"""

from cnnviz.starting import quiet_face

__getattr__, __dir__, __all__ = quiet_face(__name__, __file__)

__version__ = "0.1.0"
