// Package keys makes the keys, certificates and kubeconfigs of one box.
package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"tidegate.dev/conformance/box/addresses"
)

// certificate authority of one box, with the folder that its files go to.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  crypto.Signer
}

func writePEM(path, kind string, der []byte) error {
	mode := os.FileMode(0o644)
	if kind == "EC PRIVATE KEY" && filepath.Base(path) != "echo.key" { // a Pod reads that one as any user
		mode = 0o600
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}

// newKey makes a key and writes it as NAME.key.
func newKey(dir, name string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writePEM(filepath.Join(dir, name+".key"), "EC PRIVATE KEY", der)
}

// issue makes NAME.key and NAME.crt; the first call, for the authority itself, signs with its own key.
func (a *authority) issue(name, user, group string, hosts ...string) error {
	key, err := newKey(a.dir, name)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: user},
		NotBefore:    now.Add(-time.Hour), NotAfter: now.Add(365 * 24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if group != "" {
		template.Subject.Organization = []string{group}
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	if a.cert == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		template.ExtKeyUsage = nil
		a.cert, a.key = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	return writePEM(filepath.Join(a.dir, name+".crt"), "CERTIFICATE", der)
}

// kubeconfig writes a client configuration that names the certificate files of NAME.
func (a *authority) kubeconfig(path, name string) error {
	return os.WriteFile(path, fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: box, cluster: {server: "https://127.0.0.1:6443", certificate-authority: %[1]s/ca.crt}}]
users: [{name: box, user: {client-certificate: %[1]s/%[2]s.crt, client-key: %[1]s/%[2]s.key}}]
contexts: [{name: box, context: {cluster: box, user: box}}]
current-context: box
`, a.dir, name), 0o600)
}

// Make writes all keys, certificates and kubeconfigs of a box.
func Make(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	a := &authority{dir: dir}
	for _, c := range []struct {
		name, user, group string
		hosts             []string
	}{
		{name: "ca", user: "box-ca"}, // first: it signs the rest
		{"apiserver", "kube-apiserver", "", []string{"127.0.0.1", addresses.Node, addresses.API, "kubernetes", "kubernetes.default", "kubernetes.default.svc"}},
		{"admin", "admin", "system:masters", nil},
		{"kubelet-client", "kubelet-client", "system:masters", nil},
		{"front-proxy", "front-proxy", "", nil},
		{"controllers", "system:kube-controller-manager", "", nil},
		{"scheduler", "system:kube-scheduler", "", nil},
		{"proxy", "system:kube-proxy", "", nil},
		{"node", "system:node:" + addresses.NodeName, "system:nodes", []string{addresses.NodeName, addresses.Node}},
		{"echo", "echo", "", []string{"echo", "*.echo", "localhost"}}, // for the suite's mesh Pods
	} {
		if err := a.issue(c.name, c.user, c.group, c.hosts...); err != nil {
			return fmt.Errorf("certificate %s: %w", c.name, err)
		}
		if c.name != "ca" {
			if err := a.kubeconfig(filepath.Join(dir, c.name+".kubeconfig"), c.name); err != nil {
				return err
			}
		}
	}
	key, err := newKey(dir, "service-account")
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, "service-account.pub"), "PUBLIC KEY", der)
}
