set -e
echo "The history lives in .calc-history in the current folder."
sleep 0.25
cat > calc/__main__.py <<'PY'
"""The program: python3 -m calc EXPRESSION, or python3 -m calc --history [TEXT]."""

import sys

from calc.errors import checked
from calc.history import load, save
from calc.number import shown
from calc.search import search
from calc.table import table

_HISTORY = ".calc-history"


def main(arguments):
    if arguments[:1] == ["--history"]:
        print("\n".join(table(search(load(_HISTORY), " ".join(arguments[1:])))))
        return 0
    expression = " ".join(arguments)
    value = checked(expression)
    save(_HISTORY, expression, value)
    print(shown(value))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
PY

cat > tests/test_main_history.py <<'PY'
import os
import subprocess
import sys
import tempfile
import unittest


class History(unittest.TestCase):
    def test_remembers(self):
        with tempfile.TemporaryDirectory() as folder:
            self.calc(folder, "1 + 2")
            self.calc(folder, "10 / 4")
            self.assertEqual(self.calc(folder, "--history", "/"), "10 / 4 = 2.5\n")

    def calc(self, folder, *arguments):
        command = [sys.executable, "-m", "calc", *arguments]
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True).stdout
PY
sleep 0.25
python3 -m unittest tests.test_main_history
