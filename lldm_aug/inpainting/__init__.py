"""Inpainting: a host, which is a real case, keeps all of its voxels but those of a region that is painted anew."""

REGIONS = ("edits", "lesions", "organ")
PAINTS = ("diffusion", "copy-paste")
DEFAULT_MARGIN_MM = 6.0
