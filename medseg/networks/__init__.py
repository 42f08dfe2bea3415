"""Networks that MONAI lacks, and one registry for those and MONAI's own."""
