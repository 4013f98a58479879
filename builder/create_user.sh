#!/usr/bin/env bash
# Make the unprivileged user the worker runs as, and the one folder it may write to: create_user.sh [NAME] [DATA_DIR] [UID]
set -euo pipefail
name=${1:-worker} data_dir=${2:-/data} uid=${3:-10001}
id "$name" >/dev/null 2>&1 || useradd --uid "$uid" --create-home --shell /usr/sbin/nologin "$name"
mkdir -p "$data_dir/voice_embeddings" "$data_dir/huggingface"
chown -R "$name" "$data_dir"
