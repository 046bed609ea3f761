package main

import (
	"os"

	_ "k8s.io/client-go/plugin/pkg/client/auth"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

// kubectl is the command line of Kubernetes, in this binary since most of it is there anyway.
func kubectl() {
	logs.GlogSetter(cmd.GetLogVerbosity(os.Args)) // its error is that of a flag, which the command itself reports
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err)
	}
}
