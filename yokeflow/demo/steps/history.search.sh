set -e
echo "Search by a part of the expression."
sleep 0.9
cat > calc/search.py <<'PY'
"""Find earlier results."""


def search(entries, text):
    return [entry for entry in entries if text in entry["expression"]]
PY
cat > tests/test_search.py <<'PY'
import unittest

from calc.search import search


class Search(unittest.TestCase):
    def test_finds_parts(self):
        entries = [{"expression": "1+2", "value": 3.0}, {"expression": "4*5", "value": 20.0}]
        self.assertEqual(search(entries, "*"), entries[1:])
PY
sleep 0.9
python3 -m unittest tests.test_search
