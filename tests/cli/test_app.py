import subprocess
import sys

import pytest

from medseg import __version__
from medseg.cli.app import main

HEAVY = ("torch", "monai", "numpy", "nibabel", "scipy", "rich.progress")


def test_version_is_printed(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == f"medseg {__version__}"


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom medseg.cli.app import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip().endswith("[]")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predct"], "medseg: No such command 'predct'. Did you mean 'predict'?; see medseg --help\n"),
        (["report", "--opn", "x"], "medseg: No such option: --opn; see medseg report --help\n"),
        (["lint"], "medseg: Missing argument 'bundle'; see medseg lint --help\n"),
    ],
)
def test_a_mistyped_command_line_is_one_line_and_exit_code_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err == message
