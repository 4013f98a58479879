#!/usr/bin/env bash
# Fetch the model's weights into $MODEL_DIR, unless BAKE_WEIGHTS=0. Resumes where an earlier try stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${BAKE_WEIGHTS:-1}" = 0 ]; then
  echo "weights: not baked in (BAKE_WEIGHTS=0); the worker will look in the model cache and on the network volume"
  exit 0
fi
exec .venv/bin/python builder/fetch_weights.py --model "${MODEL:-base}" --to "${MODEL_DIR:?set MODEL_DIR to where the weights shall lie}"
