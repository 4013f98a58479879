#!/usr/bin/env bash
# Print the path of the pinned uv, fetching it with pip into .build/uv first if need be. Needs Python and pip, nothing
# else: pip's --target touches no system directory and works where the system's Python is externally managed.
set -euo pipefail
cd "$(dirname "$0")/.."
export PIP_ROOT_USER_ACTION=ignore # pip is not installing into the system here
version=0.13.9 # the version every pinned set was written with
uv=$PWD/.build/uv-$version/bin/uv
if ! [ -x "$uv" ]; then
  echo "setup: fetching uv $version" >&2
  python=$(builder/find_python.sh)
  staging=.build/uv-$version.$$
  "$python" -m pip install --quiet --disable-pip-version-check --target "$staging" "uv==$version" >&2
  if [ -d ".build/uv-$version" ]; then rm -rf "$staging"; else mv "$staging" ".build/uv-$version"; fi # or a parallel setup was quicker
fi
echo "$uv"
