set -e
echo "A missing file is an empty history."
sleep 0.9
cat >> calc/history.py <<'PY'


def load(path):
    try:
        with open(path, encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    except FileNotFoundError:
        return []
PY
cat > tests/test_load.py <<'PY'
import tempfile
import unittest
from pathlib import Path

from calc.history import load, save


class Load(unittest.TestCase):
    def test_gives_back_what_was_saved(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "history")
            self.assertEqual(load(path), [])
            save(path, "1+2", 3.0)
            self.assertEqual(load(path), [{"expression": "1+2", "value": 3.0}])
PY
sleep 0.9
python3 -m unittest tests.test_load
