#!/bin/sh
# Starts a box of its own, installs Tidegate in it by the chart as a user does, runs the upstream suite, or one test of it, and ends the box.
# What the suite prints goes to build/conformance.log; what came of it is printed, and of the whole suite the report is judged.
# usage: conformance/conform.sh [NAME [FLAG...]]     FLAG as build/box/suite.test -h says
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
export BOX_DIR="$root/build/box.conformance"
version=$(sed -n 's/^version: *//p' charts/tidegate/Chart.yaml)
log=build/conformance.log

.venv/bin/python conformance/images.py build/box/images.conformance.json
build/box/box down 2>/dev/null || true
build/box/box up --images build/box/images.conformance.json --owner $$
trap 'build/box/box down' EXIT
build/box/box exec -- helm install tidegate charts/tidegate --namespace tidegate-system --create-namespace --wait --timeout 2m >/dev/null
build/box/box exec -- kubectl wait --for=condition=Accepted --timeout=60s xmesh/tidegate >/dev/null

status=0
conformance/suite/run.sh "$version" "$@" >"$log" 2>&1 || status=$?
.venv/bin/python conformance/verdict.py "$log" $([ $# -gt 0 ] || echo "conformance/reports/experimental-$version-default-report.yaml") || status=1
exit $status
