#!/bin/sh
# Builds the box and the programs that run in it into the folder $1, and copies there what they read.
# One set of flags for all, go vet and go test included: with -trimpath, say, for some, everything is compiled twice.
set -eu
mkdir -p "$1/crds"
bin=$(cd "$1" && pwd)
cd "$(dirname "$0")"
export GOTOOLCHAIN=local CGO_ENABLED=0

version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
component=k8s.io/component-base/version # otherwise the server calls itself v0.0.0-master
minor=${version#v*.}
go build -ldflags "-s -w -X $component.gitVersion=$version -X $component.gitMajor=1 -X $component.gitMinor=${minor%%.*}" \
	-o "$bin/box" ./box
ln -sf box "$bin/kubectl"
go test -c -ldflags "-s -w" -o "$bin/suite.test" ./suite
go build -ldflags "-s -w" -o "$bin/" ./coredns ./listing sigs.k8s.io/gateway-api/conformance/echo-basic
for part in server client; do
	(cd echo-advanced && go build -ldflags "-s -w" -o "$bin/echo-advanced-$part" "istio.io/istio/pkg/test/echo/cmd/$part")
done
(cd helm && go build -ldflags "-s -w" -o "$bin/helm" helm.sh/helm/v3/cmd/helm)

# -f: the files of the module cache are read-only
cp -f box/images.json "$bin/"
rm -f "$bin"/crds/*
cp "$(go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)"/config/crd/experimental/gateway*.yaml "$bin/crds/"
chmod u+w "$bin"/crds/*
