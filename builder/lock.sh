#!/usr/bin/env bash
# Write the pinned requirement sets (requirements/*.txt) from the hand-written lists (requirements/*.in).
# Run it after editing a list or to move to newer versions: builder/lock.sh [--upgrade]
set -euo pipefail
cd "$(dirname "$0")"
uv=$(./get_uv.sh)

compile() { # compile SET [uv options]: one set for Python 3.10 to 3.12 on every platform, without registry addresses
  local set=$1
  shift
  "$uv" pip compile --quiet --universal --python-version 3.10 --no-header --no-annotate --no-emit-index-url \
    --no-emit-find-links "$@" "requirements/$set.in" -o "requirements/$set.txt"
  # What an override excludes is still listed, under a marker that is never true.
  sed -i.bak "/ or /! { /sys_platform == 'never'$/d; }" "requirements/$set.txt" && rm "requirements/$set.txt.bak"
}

compile full --override requirements/overrides.txt "$@"
# The smaller sets are the same versions, so that a .venv can grow from light to full without changing any.
compile worker --override requirements/overrides.txt --constraint requirements/full.txt
compile light --override requirements/overrides.txt --constraint requirements/full.txt
compile numpy1 "$@"
