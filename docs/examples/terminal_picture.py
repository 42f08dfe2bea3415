"""A picture of a training on a terminal: python docs/examples/terminal_picture.py docs/pictures/training.png

Runs the demo's bundle on synthetic phantoms in a pseudo-terminal of 100 columns, stops after some seconds,
and draws what the terminal shows at that moment with rich and Chromium.
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 100
CODES = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|(\r)|(\n)")


def main() -> None:
    """Make the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of training, before the picture is taken"
    )
    options = parser.parse_args()
    from medseg.cli.demo import DEMO_BUNDLE
    from medseg.data.phantoms import write_phantoms

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = write_phantoms(folder / "data", 12)
        words = ["train", str(DEMO_BUNDLE), "--data", str(folder / "data"), "--manifest", str(manifest)]
        words += ["-o", str(folder / "run"), "--val_interval", "2", "--max_epochs", "60"]
        code = "import sys; from medseg.cli.app import main; main(sys.argv[1:])"
        output = shown_by([sys.executable, "-c", code, *words], options.seconds)
        svg = folder / "terminal.svg"
        draw(screen(output), svg)
        photograph(svg, options.picture)


def shown_by(command: list[str], seconds: float) -> str:
    """What the command wrote to its terminal until `seconds` after the bar had appeared."""
    process, terminal = pty.fork()
    if process == 0:
        os.environ.update(COLUMNS=str(COLUMNS), TERM="xterm-256color", PYTHONWARNINGS="ignore")
        os.execvp(command[0], command)
    output, began = b"", 0.0
    while not began or time.monotonic() - began < seconds:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                output += os.read(terminal, 65536)
            except OSError:  # the command has ended
                break
        if not began and b"epoch" in output:
            began = time.monotonic()
    os.kill(process, 9)
    os.waitpid(process, 0)
    return output.decode(errors="replace")


def screen(output: str) -> list[str]:
    """The lines of a terminal after `output`, with colours; knows what rich's live display uses."""
    lines, row, place = [""], 0, 0
    for match in CODES.finditer(output):
        lines[row] += output[place : match.start()]
        place = match.end()
        count, letter, carriage, newline = match.groups()
        if newline:
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif carriage or letter == "K":
            # Whoever goes to the start of a line here writes it anew.
            lines[row] = "" if output[place : place + 1] != "\n" else lines[row]
        elif letter == "A":
            row = max(0, row - int(count or 1))
        elif letter == "m":
            lines[row] += match.group(0)
    lines[row] += output[place:]
    return lines


def draw(lines: list[str], svg: Path) -> None:
    """The lines as a picture of a terminal."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    console.print(Text("$ medseg train bundles/NAME --data DIR -o my_bundle"))
    for line in (line for line in lines if line.strip()):
        console.print(Text.from_ansi(line))
    console.save_svg(str(svg), title="medseg train, on synthetic phantoms")


def photograph(svg: Path, picture: Path) -> None:
    """The SVG as a PNG, by Chromium."""
    text = svg.read_text()
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    assert box is not None
    width, height = (round(float(n)) for n in box.groups())
    # Rich's font lies on a server; the machine's own will do.
    svg.write_text(re.sub(r"@font-face \{.*?\}", "", text, flags=re.DOTALL))
    chromium = shutil.which("chromium") or "chromium-browser"
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--window-size={width},{height}", f"--screenshot={picture.resolve()}", svg.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=300)


if __name__ == "__main__":
    main()
