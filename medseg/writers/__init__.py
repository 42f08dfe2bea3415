"""Files that other programs open: NIfTI and others, on the input's own grid."""
