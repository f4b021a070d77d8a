from .logits import find_logits as find_logits
from .receptive_fields import find_receptive_fields as find_receptive_fields
from .walking import Dependence as Dependence, ancestors as ancestors
