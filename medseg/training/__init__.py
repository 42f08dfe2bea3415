"""MONAI's ignite engines wired once: schedule, averaged weights, guards, checkpoints, progress."""
