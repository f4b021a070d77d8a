"""A score per image, with arithmetic: what gradient ascent is to maximize."""

from cnnviz.starting import quiet_face

__getattr__, __dir__, __all__ = quiet_face(__name__, __file__)
