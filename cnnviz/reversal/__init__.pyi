from .rules import TABLE as TABLE
from .way_back import Reversal as Reversal
