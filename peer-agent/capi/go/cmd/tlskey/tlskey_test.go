package tlskey

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheKeyOutlivesRestartsAndItsCertificate(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "state")
	made := load(t, folder)
	if again := load(t, folder); !bytes.Equal(made.PEM, again.PEM) {
		t.Error("a restart made another certificate")
	}
	if err := os.Remove(filepath.Join(folder, "tls.crt")); err != nil {
		t.Fatal(err)
	}
	renewed := load(t, folder)
	if bytes.Equal(made.PEM, renewed.PEM) || !bytes.Equal(pinned(t, made), pinned(t, renewed)) {
		t.Error("it is no new certificate of the same key")
	}
	// Without the key the certificate is worth nothing.
	if err := os.Remove(filepath.Join(folder, "tls.key")); err != nil {
		t.Fatal(err)
	}
	if other := load(t, folder); bytes.Equal(pinned(t, made), pinned(t, other)) {
		t.Error("a key came back")
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 2 {
		t.Error(entries, err)
	}
	if info, err := os.Stat(filepath.Join(folder, "tls.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
}

func TestKeysThatOthersMadeAreCertified(t *testing.T) {
	ofRSA, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ofCurve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(ofCurve)
	if err != nil {
		t.Fatal(err)
	}
	for kind, content := range map[string][]byte{"RSA PRIVATE KEY": x509.MarshalPKCS1PrivateKey(ofRSA), "EC PRIVATE KEY": encoded} {
		folder := t.TempDir()
		key := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
		if err := os.WriteFile(filepath.Join(folder, "tls.key"), key, 0o600); err != nil {
			t.Fatal(err)
		}
		load(t, folder)
		if kept, err := os.ReadFile(filepath.Join(folder, "tls.key")); err != nil || !bytes.Equal(kept, key) {
			t.Error(kind, err)
		}
	}
	folder := t.TempDir()
	for _, text := range []string{"", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if err := os.WriteFile(filepath.Join(folder, "tls.key"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(folder); err == nil || !strings.Contains(err.Error(), folder) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Whoever has the old file open, or a machine that stops meanwhile, has all of the old one.
func TestFilesAreReplacedWhole(t *testing.T) {
	folder := t.TempDir()
	file, link := filepath.Join(folder, "file"), filepath.Join(folder, "link")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(file, link); err != nil {
		t.Fatal(err)
	}
	if err := write(file, "TEST", []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	if old, err := os.ReadFile(link); err != nil || string(old) != "old" {
		t.Errorf("%q %v", old, err)
	}
	if text, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(text), "-----BEGIN TEST") {
		t.Errorf("%q %v", text, err)
	}
}

func load(t *testing.T, folder string) Certificate {
	t.Helper()
	certificate, err := Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func pinned(t *testing.T, certificate Certificate) []byte {
	t.Helper()
	parsed, err := x509.ParseCertificate(certificate.Pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return parsed.RawSubjectPublicKeyInfo
}
