#!/usr/bin/env bash
# Install what the worker needs from the system, on Debian or Ubuntu: a Python with pip, and certificates for downloads.
# libsndfile, eSpeak NG and the CUDA libraries come inside Python wheels.
set -euo pipefail
packages=(python3 python3-pip python3-venv ca-certificates)
missing=()
for package in "${packages[@]}"; do
  dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi
apt-get update -qq
apt-get install -y --no-install-recommends "${missing[@]}"
rm -rf /var/lib/apt/lists/*
