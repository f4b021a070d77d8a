"""Attribution: what in an image mattered for what a network says of it."""
