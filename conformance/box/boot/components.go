package boot

import (
	"path/filepath"
	"slices"

	"tidegate.dev/conformance/box/addresses"
)

// component is one of the cluster's processes: a subcommand of box and its arguments.
type component struct {
	name string
	args []string
}

// components lists the cluster's processes: those that make the API server, and the rest, which need it.
func components(s Settings) (store, rest []component) {
	pki := filepath.Join(s.Dir, "pki") + "/"
	return []component{
			{"etcd", []string{filepath.Join(s.Dir, "run")}},
			{"kube-apiserver", apiServer(pki)},
		}, []component{
			{"kube-controller-manager", append(credentials(pki, "controllers"),
				"--root-ca-file="+pki+"ca.crt", "--service-account-private-key-file="+pki+"service-account.key",
				"--use-service-account-credentials=true", "--concurrent-deployment-syncs=10")},
			{"kube-scheduler", credentials(pki, "scheduler")},
			{"kube-proxy", []string{
				"--kubeconfig=" + pki + "proxy.kubeconfig", "--proxy-mode=" + s.ProxyMode,
				"--hostname-override=" + addresses.NodeName, "--cluster-cidr=" + addresses.Cluster,
				"--conntrack-max-per-core=0", // a limit of the whole machine
				"--healthz-bind-address=127.0.0.1:10256", "--metrics-bind-address=127.0.0.1:10249",
			}},
			{"lb", []string{pki + "admin.kubeconfig"}},
			{"node", []string{s.Dir, s.Images}},
		}
}

// credentials gives the flags that controller manager and scheduler share. Their default of 20 requests a second costs
// 3 s at the start.
func credentials(pki, name string) []string {
	kubeconfig := pki + name + ".kubeconfig"
	return []string{
		"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		"--leader-elect=false", "--bind-address=127.0.0.1", "--kube-api-qps=200", "--kube-api-burst=400",
	}
}

func apiServer(pki string) []string {
	return slices.Concat([]string{
		"--etcd-servers=http://127.0.0.1:2379",
		"--bind-address=0.0.0.0", "--advertise-address=" + addresses.Node, // may not be loopback
		"--endpoint-reconciler-type=lease",
		"--service-cluster-ip-range=" + addresses.Services,
		"--tls-cert-file=" + pki + "apiserver.crt", "--tls-private-key-file=" + pki + "apiserver.key",
		"--client-ca-file=" + pki + "ca.crt",
		"--service-account-key-file=" + pki + "service-account.pub",
		"--service-account-signing-key-file=" + pki + "service-account.key",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--authorization-mode=Node,RBAC", "--allow-privileged=true",
	}, []string{ // towards the kubelet
		"--kubelet-client-certificate=" + pki + "kubelet-client.crt",
		"--kubelet-client-key=" + pki + "kubelet-client.key",
		"--kubelet-certificate-authority=" + pki + "ca.crt",
		"--kubelet-preferred-address-types=InternalIP",
	}, []string{ // as a proxy to other API servers: with one authority for both uses the names have to be given
		"--requestheader-client-ca-file=" + pki + "ca.crt", "--requestheader-allowed-names=front-proxy",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + pki + "front-proxy.crt", "--proxy-client-key-file=" + pki + "front-proxy.key",
	})
}
