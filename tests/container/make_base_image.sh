#!/usr/bin/env bash
# Make a stand-in for the image python:3.11-slim where no registry of images can be reached: Debian 12, whose Python is
# 3.11, under the name given. Needs root, debootstrap and buildah; takes a minute.
set -euo pipefail
name=$1
root=$(mktemp -d)
trap 'rm -rf "$root" "$root.tar"' EXIT
debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates bookworm "$root" > /dev/null
ln -sf /usr/bin/python3 "$root/usr/local/bin/python"
rm -f "$root"/usr/lib/python3.11/EXTERNALLY-MANAGED
# A machine behind a proxy trusts certificates of its own, which the build needs as well.
certificates=/etc/ssl/certs/ca-certificates.crt
cp "$certificates" "$root$certificates"
tar -C "$root" -cf "$root.tar" .
container=$(buildah from scratch)
buildah add --quiet "$container" "$root.tar" / > /dev/null
buildah config --env SSL_CERT_FILE=$certificates --env PIP_CERT=$certificates --env REQUESTS_CA_BUNDLE=$certificates \
    --env UV_NATIVE_TLS=1 "$container"
buildah commit --quiet --rm "$container" "$name" > /dev/null
