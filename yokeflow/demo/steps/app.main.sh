set -e
echo "Join the arguments, compute, print."
sleep 0.25
cat > calc/__main__.py <<'PY'
"""The program: python3 -m calc EXPRESSION."""

import sys

from calc.errors import checked
from calc.number import shown


def main(arguments):
    print(shown(checked(" ".join(arguments))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
PY
cat > tests/test_main.py <<'PY'
import subprocess
import sys
import unittest


class Main(unittest.TestCase):
    def test_computes(self):
        done = subprocess.run([sys.executable, "-m", "calc", "2 * (3 + 4)"], capture_output=True, text=True)
        self.assertEqual((done.stdout, done.returncode), ("14\n", 0), done.stderr)
PY
sleep 0.25
python3 -m unittest tests.test_main
