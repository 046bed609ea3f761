package keys

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
)

func certificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEveryCertificateIsSignedByTheAuthorityAndHasItsKey(t *testing.T) {
	dir := t.TempDir()
	if err := Make(dir); err != nil {
		t.Fatal(err)
	}
	authority := x509.NewCertPool()
	authority.AddCert(certificate(t, filepath.Join(dir, "ca.crt")))
	paths, _ := filepath.Glob(filepath.Join(dir, "*.crt"))
	if len(paths) < 8 {
		t.Errorf("only %d certificates", len(paths))
	}
	for _, path := range paths {
		c := certificate(t, path)
		if _, err := c.Verify(x509.VerifyOptions{Roots: authority, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := tls.LoadX509KeyPair(path, path[:len(path)-len("crt")]+"key"); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestTheAPIServerIsKnownByItsAddresses(t *testing.T) {
	dir := t.TempDir()
	if err := Make(dir); err != nil {
		t.Fatal(err)
	}
	c := certificate(t, filepath.Join(dir, "apiserver.crt"))
	for _, host := range []string{"127.0.0.1", "198.18.0.1", "198.19.0.1", "kubernetes.default.svc"} {
		if err := c.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
}

func TestKeysAreForTheirOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	if err := Make(dir); err != nil {
		t.Fatal(err)
	}
	paths, _ := filepath.Glob(filepath.Join(dir, "*.key"))
	configs, _ := filepath.Glob(filepath.Join(dir, "*.kubeconfig"))
	for _, path := range append(paths, configs...) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		want := os.FileMode(0o600)
		if filepath.Base(path) == "echo.key" { // a Pod reads it as any user
			want = 0o644
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
	}
}
