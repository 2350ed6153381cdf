"""Whether synthetic cases help: segmentation networks trained with and without them, compared case by case."""
