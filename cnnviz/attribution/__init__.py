"""What in an image mattered: from a unit or an objective back to the pixels."""

from cnnviz.starting import quiet_face

__getattr__, __dir__, __all__ = quiet_face(__name__, __file__)
