from .exemplars import Exemplars as Exemplars, find_exemplars as find_exemplars
