set -e
echo "Wrong input: exit code 2 and one sentence."
sleep 0.25
python3 - <<'PY'
from pathlib import Path

path = Path("calc/__main__.py")
text = path.read_text()
call = "    sys.exit(main(sys.argv[1:]))\n"
kind = '    try:\n        sys.exit(main(sys.argv[1:]))\n    except ValueError as error:\n        sys.exit(failed(error))\n'
define = 'def failed(error):\n    print(f"calc: {error}", file=sys.stderr)\n    return 2\n\n\n'
start = 'if __name__ == "__main__":\n'
path.write_text(text.replace(call, kind).replace(start, define + start))
PY
cat > tests/test_main_help.py <<'PY'
import subprocess
import sys
import unittest


class Help(unittest.TestCase):
    def test_explains_wrong_input(self):
        done = subprocess.run([sys.executable, "-m", "calc", "1 / 0"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (2, "calc: division by zero\n"))
PY
sleep 0.25
python3 -m unittest tests.test_main_help
