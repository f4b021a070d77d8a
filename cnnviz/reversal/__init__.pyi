from .rules import TABLE as TABLE
from .steps import Note as Note, Step as Step, Walk as Walk
from .way_back import Reversal as Reversal
