from .identify import (
    APPLICATIONS as APPLICATIONS,
    architecture_file as architecture_file,
    check_weights as check_weights,
    identify_file as identify_file,
)
from .loader import load_model as load_model, module_objects as module_objects
