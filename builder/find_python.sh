#!/usr/bin/env bash
# Print the path of a Python we support, 3.11 first. $PYTHON, if set, is the only candidate.
set -euo pipefail
for candidate in ${PYTHON:-python3.11 python3.12 python3.10 python3 python}; do
  # Run it: version managers leave launchers on the PATH for versions that are not there.
  if path=$("$candidate" -c 'import sys; assert (3, 10) <= sys.version_info[:2] <= (3, 12); print(sys.executable)' 2>/dev/null); then
    echo "$path"
    exit
  fi
done
echo "setup: no Python 3.10, 3.11 or 3.12 found${PYTHON:+ at $PYTHON}; install python3.11 or set PYTHON=/path/to/python3" >&2
exit 1
