#!/usr/bin/env bash
# Puts a server that speaks S3's protocol (moto) into a folder (default .deps/moto), for the tests of s3:// (about 115 MB).
# A second run does nothing. usage: fetch_moto.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/../../.."
to=${1:-.deps/moto}
# What its S3 part needs, and no more.
packages=(
  moto==5.2.5 blinker==1.9.0 boto3==1.44.8 botocore==1.44.8 certifi==2026.10.19.post1 cffi==2.1.1 charset_normalizer==3.5.3
  click==8.5.1 cryptography==50.0.2 flask==3.1.3 flask_cors==6.0.5 idna==3.20 itsdangerous==2.2.0 jinja2==3.1.6
  jmespath==1.1.0 markupsafe==3.0.4 py_partiql_parser==0.6.3 pycparser==3.12 python_dateutil==2.9.0.post0 pyyaml==6.0.4
  requests==2.34.2 responses==0.26.3 s3transfer==0.19.3 six==1.17.0 urllib3==2.8.0 werkzeug==3.1.9 xmltodict==1.0.4
)
stamp=$(printf '%s\n' "${packages[@]}")
[ "$(cat "$to/stamp" 2>/dev/null)" = "$stamp" ] && exit 0
echo "fetch_moto.sh: fetching an S3 server for tests (about 115 MB, once)" >&2
rm -rf "$to" "$to.new"
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --target "$to.new" "${packages[@]}"
printf '%s\n' "$stamp" > "$to.new/stamp"
mv "$to.new" "$to"
