"""Any Keras file to an `ImageModel`: identified, judged, loaded."""

from cnnviz.starting import quiet_face

__getattr__, __dir__, __all__ = quiet_face(__name__, __file__)
