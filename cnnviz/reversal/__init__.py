"""The way back through the graph of a network: unpool, rectify, filter.

What each operation does to a reconstruction is written down in one table.
"""

from cnnviz.starting import quiet_face

__getattr__, __dir__, __all__ = quiet_face(__name__, __file__)
