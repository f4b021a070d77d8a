from .logits import before_squashing as before_squashing
from .receptive_fields import find_receptive_fields as find_receptive_fields
from .walking import Dependence as Dependence
