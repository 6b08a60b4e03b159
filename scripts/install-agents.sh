#!/bin/sh
# Install the agent programs that tests/e2e/test_real_agents.py runs, into .agents/ of this checkout.
# Doing it again costs nothing. They come from the registry that npm is configured for.
set -eu

CLAUDE=2.1.329
CODEX=0.169.0

cd "$(dirname "$0")/.."
wanted="claude-code@$CLAUDE codex@$CODEX"
if [ "$(cat .agents/installed 2>/dev/null || true)" = "$wanted" ]; then
    exit 0
fi
if ! command -v npm >/dev/null; then
    echo "install-agents: npm is needed (Node.js 20 or newer)" >&2
    exit 1
fi
mkdir -p .agents
[ -f .agents/package.json ] || echo '{"private": true}' >.agents/package.json
# The versions ask for a newer Node than their native programs need.
npm install --prefix .agents --no-audit --no-fund --loglevel=error \
    "@anthropic-ai/claude-code@$CLAUDE" "@openai/codex@$CODEX"
# npm 11 runs no install scripts; without this one `claude` is a stub.
(cd .agents/node_modules/@anthropic-ai/claude-code && [ ! -f install.cjs ] || node install.cjs)
.agents/node_modules/.bin/claude --version
.agents/node_modules/.bin/codex --version
echo "$wanted" >.agents/installed
