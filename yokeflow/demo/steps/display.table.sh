set -e
echo "calc/history.py is here already: it came over from the other epic."
grep -n "def save" calc/history.py
sleep 0.9
cat > calc/table.py <<'PY'
"""The history in two columns."""

from calc.number import shown


def table(entries):
    width = max((len(entry["expression"]) for entry in entries), default=0)
    return [f"{entry['expression']:<{width}} = {shown(entry['value'])}" for entry in entries]
PY
cat > tests/test_table.py <<'PY'
import unittest

from calc.table import table


class Table(unittest.TestCase):
    def test_aligns(self):
        entries = [{"expression": "1+2", "value": 3.0}, {"expression": "10/4", "value": 2.5}]
        self.assertEqual(table(entries), ["1+2  = 3", "10/4 = 2.5"])
PY
sleep 0.9
python3 -m unittest tests.test_table
