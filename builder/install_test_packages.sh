#!/usr/bin/env bash
# Install the Debian packages that the tests need beside Python: Ceph's object gateway, a real S3 store that runs
# without Docker, Chromium for the web page, and Redis for the Celery example. Starts nothing, and returns at once when everything is there.
#
# Debian and Ubuntu, as root or with password-free sudo: installed. Anywhere else: says what is missing and how to get
# it, and exits 0, because all other tests still run; those that need them are then skipped and say so.
set -euo pipefail

programs=(radosgw radosgw-admin ceph-mon ceph-osd ceph ceph-authtool monmaptool openssl chromium redis-server)
packages=(radosgw ceph-mon ceph-osd ceph-common openssl chromium redis-server)

missing=()
for program in "${programs[@]}"; do
  command -v "$program" >/dev/null || missing+=("$program")
done
[ ${#missing[@]} = 0 ] && exit 0

give_up() {
  {
    echo "setup: the tests on a real S3 store and in a real browser will be SKIPPED: no ${missing[*]} ($1)"
    echo "setup: on Debian or Ubuntu run as root: apt-get install --no-install-recommends ${packages[*]}"
    echo "setup: elsewhere run 'make test' in a Debian container"
  } >&2
  exit 0
}

command -v apt-get >/dev/null || give_up "this is not Debian or Ubuntu"
as_root=()
if [ "$(id -u)" != 0 ]; then
  as_root=(sudo -n)
  sudo -n true 2>/dev/null || give_up "not root, and sudo needs a password"
fi

# Packages of servers start them on installation; a policy-rc.d that answers 101 keeps them from doing so.
policy=/usr/sbin/policy-rc.d
if ! [ -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi

echo "setup: installing ${packages[*]} (about 40 s)" >&2
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >/dev/null; }
install() { apt install -y --no-install-recommends "${packages[@]}"; }
# An old package list is the usual reason for a failure, and fetching a new one takes longer than the installation.
install 2>/dev/null || { apt update && install; } || give_up "apt-get failed"
