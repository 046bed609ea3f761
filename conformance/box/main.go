// Command box is a small, real Kubernetes cluster in one binary. Each part of the cluster is its own process of
// this binary, since they share global state (feature gates, logging) that allows only one of them in a process.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	"tidegate.dev/conformance/box/boot"
	"tidegate.dev/conformance/box/container"
	"tidegate.dev/conformance/box/loadbalancer"
	"tidegate.dev/conformance/box/machine"
	"tidegate.dev/conformance/box/node"
)

const usage = `usage: box up [--dir DIR] [--images FILE] [--crds DIR] [--proxy-mode MODE] [--timeout D] [--owner PID]
       box exec [--dir DIR] -- COMMAND [ARG...]
       box down [--dir DIR]

DIR holds the box's keys, kubeconfig and logs (default $BOX_DIR, or build/box.run if this is build/box/box).
As many boxes as folders can be up at once. Run as root.
COMMAND may be kubectl, helm, curl or any program of the machine:
       box exec -- kubectl get pods -A
The cluster's own processes are further subcommands, which "box up" starts.
`

// commands are for people, and for the processes of a box.
var commands = map[string]func([]string) error{
	"up":       machine.Up,
	"exec":     machine.Exec,
	"down":     machine.Down,
	"init":     boot.Run,
	"etcd":     func(args []string) error { return serveEtcd(args[0]) },
	"lb":       func(args []string) error { return loadbalancer.Run(args[0]) },
	"node":     func(args []string) error { return node.Run(args[0], args[1]) },
	"pod-init": func([]string) error { return container.Init() },
}

// components are programs of Kubernetes, with all their own flags.
var components = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllers.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kube-proxy":              proxy.NewProxyCommand,
}

func main() {
	logsapi.ReapplyHandling = logsapi.ReapplyHandlingIgnoreUnchanged
	if filepath.Base(os.Args[0]) == "kubectl" { // by a link of that name
		kubectl()
		return
	}
	if len(os.Args) < 2 {
		fail(usage)
	}
	name, args := os.Args[1], os.Args[2:]
	if run, ok := commands[name]; ok {
		if err := run(args); err != nil {
			fmt.Fprintf(os.Stderr, "box %s: %v\n", name, err)
			os.Exit(1)
		}
		return
	}
	component, ok := components[name]
	if !ok {
		fail(usage)
	}
	os.Args = os.Args[1:]
	cmd := component()
	cmd.SetArgs(args)
	os.Exit(cli.Run(cmd))
}

func fail(why string) {
	fmt.Fprint(os.Stderr, why)
	os.Exit(2)
}
