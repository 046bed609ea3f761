#!/bin/sh
# Runs the upstream suite in the box, where Tidegate is installed, its GatewayClass Accepted, and the mesh of mesh.yaml. Without a name all of it
# runs, and the report is written to conformance/reports; with one that test alone, and what it needs stays for the next run.
# usage: conformance/suite/run.sh VERSION [NAME [FLAG...]]     VERSION of Tidegate, for the report; FLAG as build/box/suite.test -h says
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
version=$1
shift
suite() {
	"$root/build/box/box" exec -- "$root/build/box/suite.test" -test.v -test.timeout 60m \
		-conformance-options-file="$root/conformance/suite/options.yaml" "$@"
}
if [ $# -gt 0 ]; then
	name=$1
	shift
	suite -run-test="$name" -cleanup-base-resources=false "$@"
else
	mkdir -p "$root/conformance/reports"
	suite -version="$version" -report-output="$root/conformance/reports/experimental-$version-default-report.yaml"
fi
