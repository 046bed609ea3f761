package boot

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tidegate.dev/conformance/box/addresses"
)

// clusterAPI is the API server as the box's first process uses it.
type clusterAPI struct{ client.Client }

// waitFor asks again every 50 ms: nothing can be watched before the API server is there. "box up" has a limit of
// its own; this one is only for a box whose "box up" is gone.
func waitFor(what string, done func() bool) error {
	for end := time.Now().Add(5 * time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%s is not ready", what)
		}
	}
	return nil
}

// connect waits for the API server and gives a client.
func connect(dir string) (clusterAPI, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", filepath.Join(dir, "pki", "admin.kubeconfig"))
	if err != nil {
		return clusterAPI{}, err
	}
	cfg.QPS, cfg.Burst = 200, 400
	transport, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return clusterAPI{}, err
	}
	if err := waitFor("API server", func() bool {
		answer, err := transport.Get(cfg.Host + "/readyz")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == 200
	}); err != nil {
		return clusterAPI{}, err
	}
	api, err := client.New(cfg, client.Options{})
	return clusterAPI{api}, err
}

// applyFolder makes all API objects in the YAML files of a folder.
func (api clusterAPI) applyFolder(ctx context.Context, dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return err
	}
	slices.Sort(files)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if err := api.applyYAML(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
	}
	return nil
}

// applyYAML makes the objects that do not exist yet.
func (api clusterAPI) applyYAML(ctx context.Context, manifest []byte) error {
	documents := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifest), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := documents.Decode(&object.Object); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if object.Object == nil {
			continue
		}
		if err := api.Create(ctx, object); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
}

func (api clusterAPI) nodeReady(ctx context.Context) error {
	return waitFor("node", func() bool {
		var node corev1.Node
		return api.Get(ctx, client.ObjectKey{Name: addresses.NodeName}, &node) == nil &&
			slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
				return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
			})
	})
}

func (api clusterAPI) dnsReady(ctx context.Context) error {
	return waitFor("cluster DNS", func() bool {
		var d appsv1.Deployment
		err := api.Get(ctx, client.ObjectKey{Namespace: "kube-system", Name: "coredns"}, &d)
		return err == nil && d.Status.ReadyReplicas > 0
	})
}
