"""From a scan to scores on its own grid: windows, runtimes and the way back."""
