from .keras_generations import InputSpec as InputSpec
from .naming import (
    Address as Address,
    Selected as Selected,
    addresses as addresses,
    call_name as call_name,
    one_path as one_path,
    select as select,
    without_call as without_call,
)
from .recording import Call as Call, record as record
