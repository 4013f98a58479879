#!/usr/bin/env bash
# Make a virtual environment from a pinned set, or return at once when it is current.
#   builder/setup_venv.sh light|worker|full     -> .venv (a larger set serves a smaller request)
#   builder/setup_venv.sh numpy1                -> .venv-numpy1
set -euo pipefail
cd "$(dirname "$0")/.."
set_name=${1:?usage: setup_venv.sh light|worker|full|numpy1}
case $set_name in
light) venv=.venv serving='light worker full' ;;
worker) venv=.venv serving='worker full' ;;
full) venv=.venv serving='full' ;;
numpy1) venv=.venv-numpy1 serving='numpy1' ;;
*) echo "setup: unknown set $set_name; allowed are light, worker, full, numpy1" >&2 && exit 2 ;;
esac

fingerprint() { echo "$1 $(cat "builder/requirements/$1.txt" builder/setup_venv.sh | cksum)"; }

stamp=$venv/installed-set
if [ -f "$stamp" ]; then
  for larger in $serving; do
    [ "$(cat "$stamp")" = "$(fingerprint "$larger")" ] && exit 0
  done
fi

uv=$(builder/get_uv.sh)
python=$(builder/find_python.sh)
echo "setup: $venv from $set_name.txt ($("$python" --version))" >&2
[ -x "$venv/bin/python" ] && "$venv/bin/python" -c '' 2>/dev/null || "$uv" venv --quiet --clear --python "$python" "$venv"
rm -f "$stamp"
# The set is complete, so nothing is resolved again: the pins stand, also where a package's own pins disagree.
VIRTUAL_ENV=$PWD/$venv "$uv" pip install --no-deps --requirement "builder/requirements/$set_name.txt" 2> >(grep -vE '^ [+-] ' >&2)
"$venv/bin/python" builder/check_install.py "$set_name"
fingerprint "$set_name" >"$stamp.$$"
mv "$stamp.$$" "$stamp"
