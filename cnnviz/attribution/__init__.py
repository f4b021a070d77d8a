"""What in an image mattered: from a unit or an objective back to the pixels.

Reconstructions start from a unit of a layer (`deconvolution`, `comparing`, `stages`):
`units` finds it, `projecting` carries it back, operation by operation, by the rules of
`cnnviz.reversal`.

Evidence starts from the score of a class (`explaining`, `channels`): `asking` settles
which, a probe (`probes`) asks the network for scores and gradients, `methods` makes
maps of these, and `placing` lays them over the image. `checking` tests maps on the
network that they explain.
"""

from cnnviz.starting import quiet_face

__getattr__, __dir__, __all__ = quiet_face(__name__, __file__)
