// Package tlskey keeps a peer's TLS key and certificate in its state folder. Clients pin the key, so it must outlive restarts.
package tlskey

import (
	"crypto"
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

// Load reads tls.key and tls.crt from folder, or makes what is missing: an RSA key with 2048 bits, and the self-signed certificate of a
// certificate authority, as peers have. A key without a certificate (a start was cut short, or its owner deleted that) gets a new one, and
// stays the one that clients pin.
func Load(folder string) (Certificate, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return Certificate{}, err
	}
	keyFile, crtFile := filepath.Join(folder, "tls.key"), filepath.Join(folder, "tls.crt")
	if isMissing(keyFile) {
		// First, since it is another key's: a start that is cut short must not leave it beside the new one.
		if err := os.Remove(crtFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			return Certificate{}, err
		}
		if err := makeKey(keyFile); err != nil {
			return Certificate{}, err
		}
	}
	if isMissing(crtFile) {
		if err := certify(keyFile, crtFile); err != nil {
			return Certificate{}, err
		}
	}
	pair, err := tls.LoadX509KeyPair(crtFile, keyFile)
	if err != nil {
		return Certificate{}, fmt.Errorf("the TLS key and certificate in %s cannot be used: %w", folder, err)
	}
	text, err := os.ReadFile(crtFile)
	return Certificate{Pair: pair, PEM: text}, err
}

func isMissing(file string) bool {
	_, err := os.Stat(file)
	return errors.Is(err, os.ErrNotExist)
}

func makeKey(file string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return write(file, "PRIVATE KEY", encoded, 0o600)
}

// certify makes the certificate of a key.
func certify(keyFile, crtFile string) error {
	key, err := readKey(keyFile)
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
	return write(crtFile, "CERTIFICATE", crt, 0o644)
}

// readKey reads a key in one of the forms that TLS servers take.
func readKey(file string) (crypto.Signer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is no PEM", file)
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if signer, ok := key.(crypto.Signer); ok {
		return signer, nil
	}
	return nil, fmt.Errorf("%s has no key that can be used: %w", file, err)
}

// write makes a file whole or not at all: it is written beside, and renamed.
func write(file, kind string, content []byte, mode os.FileMode) error {
	beside, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(beside.Name())
	if err := pem.Encode(beside, &pem.Block{Type: kind, Bytes: content}); err != nil {
		beside.Close()
		return err
	}
	if err := beside.Sync(); err != nil {
		beside.Close()
		return err
	}
	if err := beside.Close(); err != nil {
		return err
	}
	if err := os.Chmod(beside.Name(), mode); err != nil {
		return err
	}
	return os.Rename(beside.Name(), file)
}
