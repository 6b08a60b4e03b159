set -e
echo "One JSON object a line can be appended without reading the file."
sleep 0.9
cat > calc/history.py <<'PY'
"""Results of earlier computations, one JSON object a line."""

import json


def save(path, expression, value):
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps({"expression": expression, "value": value}) + "\n")
PY
echo "Wrote calc/history.py."
sleep 0.9
cat > tests/test_history.py <<'PY'
import json
import tempfile
import unittest
from pathlib import Path

from calc.history import save


class Save(unittest.TestCase):
    def test_appends(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "history")
            save(path, "1+2", 3.0)
            save(path, "2*2", 4.0)
            lines = path.read_text().splitlines()
        self.assertEqual([json.loads(line)["value"] for line in lines], [3.0, 4.0])
PY
python3 -m unittest tests.test_history
