// Package tlskey keeps a peer's TLS key and certificate in its state folder. Clients pin the key, so it must outlive restarts.
package tlskey

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// Certificate is a certificate with its key, and the certificate alone as PEM.
type Certificate struct {
	Pair tls.Certificate
	PEM  []byte
}

// Load reads tls.key and tls.crt from folder, or makes them: RSA with 2048 bits and a self-signed certificate authority's
// certificate, as peers have.
func Load(folder string) (Certificate, error) {
	key, crt := filepath.Join(folder, "tls.key"), filepath.Join(folder, "tls.crt")
	if _, err := os.Stat(key); errors.Is(err, os.ErrNotExist) {
		if err := create(folder, key, crt); err != nil {
			return Certificate{}, err
		}
	}
	pair, err := tls.LoadX509KeyPair(crt, key)
	if err != nil {
		return Certificate{}, fmt.Errorf("the TLS key and certificate in %s cannot be used: %w", folder, err)
	}
	text, err := os.ReadFile(crt)
	return Certificate{Pair: pair, PEM: text}, err
}

func create(folder, keyFile, crtFile string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "127.0.0.1"},
		NotBefore:             time.Now().AddDate(0, 0, -1),
		NotAfter:              time.Now().AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	crt, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	// The certificate first: a key without one would not be made anew.
	if err := os.WriteFile(crtFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: crt}), 0o644); err != nil {
		return err
	}
	return os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), 0o600)
}
