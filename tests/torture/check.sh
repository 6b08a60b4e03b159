#!/bin/sh
# A check: notes the tree it saw and what it found; red where two tasks do not go together.
round=${HOME%/home}
tree=$(git rev-parse 'HEAD^{tree}') || exit 1
changed=$(git status --porcelain | head -c 300 | tr '\n' ';')
verdict=passed
[ -e red-a.txt ] && [ -e red-b.txt ] && verdict=failed
echo "$1 $tree $verdict $changed" >>"$round/checks.log"
[ $verdict = passed ]
