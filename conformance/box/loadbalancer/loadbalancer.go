// Package loadbalancer gives Services of type LoadBalancer their addresses, in their status; kube-proxy makes
// the addresses work. Which Service has which is decided by package pool.
package loadbalancer

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"

	"tidegate.dev/conformance/box/addresses"
	"tidegate.dev/conformance/box/pool"
)

// Run serves for ever; it returns only if it cannot begin.
func Run(kubeconfig string) error {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	api, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(api, 0)
	services := factory.Core().V1().Services()
	changed := make(chan struct{}, 1)
	poke := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	if _, err := services.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { poke() },
		UpdateFunc: func(any, any) { poke() },
		DeleteFunc: func(any) { poke() },
	}); err != nil {
		return err
	}
	factory.Start(nil)
	factory.WaitForCacheSync(nil)

	decided := pool.New(netip.MustParsePrefix(addresses.LoadBalancers))
	for range changed {
		list, err := services.Lister().List(labels.Everything())
		if err != nil {
			return err
		}
		list = slices.DeleteFunc(list, func(s *corev1.Service) bool { return !ours(s) })
		slices.SortFunc(list, olderFirst)
		has := decided.Assign(known(list))
		for _, s := range list {
			if err := write(api, s, has[string(s.UID)]); err != nil {
				fmt.Fprintln(os.Stderr, "lb:", err)
				time.AfterFunc(200*time.Millisecond, poke)
			}
		}
	}
	return nil
}

// ours tells whether a Service wants an address from here. One with a class of its own belongs to somebody else.
func ours(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer && s.Spec.LoadBalancerClass == nil
}

func olderFirst(a, b *corev1.Service) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.UID, b.UID))
}

func known(list []*corev1.Service) []pool.Service {
	var all []pool.Service
	for _, s := range list {
		all = append(all, pool.Service{ID: string(s.UID), Wanted: s.Spec.LoadBalancerIP, Current: current(s)})
	}
	return all
}

// current gives the address in the Service's status.
func current(s *corev1.Service) string {
	for _, in := range s.Status.LoadBalancer.Ingress {
		return in.IP
	}
	return ""
}

// write makes the status say what was decided; an invalid address means none. A Service that has changed
// meanwhile is left alone, since its change is on the way here.
func write(api kubernetes.Interface, s *corev1.Service, decided netip.Addr) error {
	want := ""
	if decided.IsValid() {
		want = decided.String()
	}
	if current(s) == want {
		return nil
	}
	s = s.DeepCopy()
	s.Status.LoadBalancer.Ingress = nil
	if want != "" {
		mode := corev1.LoadBalancerIPModeVIP
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: want, IPMode: &mode}}
	}
	_, err := api.CoreV1().Services(s.Namespace).UpdateStatus(context.Background(), s, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
