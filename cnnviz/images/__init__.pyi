from .boxes import (
    Box as Box,
    ReceptiveField as ReceptiveField,
    Span as Span,
    field_boxes as field_boxes,
    image_spans as image_spans,
)
from .finding import (
    find_images as find_images,
    finds as finds,
    is_searched as is_searched,
)
from .names import (
    distinct_names as distinct_names,
    joined_stems as joined_stems,
    safe_name as safe_name,
    stems as stems,
)
from .ranges import to_unit as to_unit
from .reading import (
    is_picture as is_picture,
    read_array as read_array,
    read_image as read_image,
    read_scaled as read_scaled,
)
from .resizing import (
    WHITE as WHITE,
    Color as Color,
    Fit as Fit,
    Kernel as Kernel,
    resize as resize,
    scaled_size as scaled_size,
)
from .sets import Batch as Batch, ImageSet as ImageSet
from .taking import (
    as_array as as_array,
    image_list as image_list,
    one_image as one_image,
)
from .writing import write_image as write_image, written_whole as written_whole
