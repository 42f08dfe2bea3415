"""A stranger's bundle on a leash: checked before it is read by MONAI, watched while it runs."""

from medseg.bundle.restricted.checking import Mode, check, reasons_against
from medseg.bundle.restricted.leash import leash

__all__ = ["Mode", "check", "leash", "reasons_against"]
