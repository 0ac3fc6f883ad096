#!/bin/sh
# Makes the secrets of compose.yaml, once: random, in a folder for its owner only. `docker compose up` needs nothing else.
set -eu
umask 077
folder="$(dirname "$0")/secrets"
mkdir -p "$folder"
chmod 700 "$folder"
for name in postgres_password s3_access_key s3_secret_key prefect_password mlflow_password metrics_password serve_token grafana_password; do
  if [ ! -s "$folder/$name" ]; then
    od -An -N16 -tx1 /dev/urandom | tr -d ' \n' > "$folder/$name.new"
    # readable by the users of the containers, who are not its owner; on the host nobody else passes through the folder
    chmod 444 "$folder/$name.new"
    mv "$folder/$name.new" "$folder/$name"
  fi
done
echo "secrets in $folder"
