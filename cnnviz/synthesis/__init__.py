"""Recipes of gradient ascent: filters, classes, dreams, styles."""

from cnnviz.starting import quiet_face

__getattr__, __dir__, __all__ = quiet_face(__name__, __file__)
