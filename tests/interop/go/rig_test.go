package interop

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if bin, err = os.MkdirTemp("", "interop"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(bin)
		build := exec.Command("go", "build", "-buildvcs=false", "-o", bin+string(filepath.Separator), "./cmd/...")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "go build:", err)
			return 1
		}
		return m.Run()
	}())
}

func program(name string) string { return filepath.Join(bin, name) }

type result struct {
	Status, Length, Micros int
	SHA256, Error          string
	ProxyHost              string `json:"proxy_host"`
}

func get(t *testing.T, flags ...string) ([]result, error) {
	t.Helper()
	return fetch(t, "enproxy-get", flags...)
}

func fetch(t *testing.T, name string, flags ...string) (results []result, failed error) {
	t.Helper()
	out, failed := exec.Command(program(name), flags...).Output()
	for lines := json.NewDecoder(bytes.NewReader(out)); ; {
		var r result
		if err := lines.Decode(&r); err == io.EOF {
			return results, failed
		} else if err != nil {
			t.Fatalf("%v: %q", err, out)
		}
		results = append(results, r)
	}
}

// Sends something, waits for words in the answer, sends what comes after, and returns all that was answered until the end.
func exchange(t *testing.T, address, first, words string, more ...string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, first)
	got := make([]byte, 0, 4096)
	for !strings.HasSuffix(string(got), words) || words == "" {
		n, err := conn.Read(got[len(got):cap(got)])
		got = got[:len(got)+n]
		if err == io.EOF {
			return string(got)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	io.WriteString(conn, strings.Join(more, ""))
	rest, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(got) + string(rest)
}

func server(t *testing.T, flags ...string) string {
	t.Helper()
	return serve(t, "enproxy-server", flags...)
}

// A running server, until the test ends. Its address is returned.
func serve(t *testing.T, name string, flags ...string) string {
	t.Helper()
	command := exec.Command(program(name), flags...)
	command.Stderr = os.Stderr
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		if err := command.Wait(); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "listening ") {
		t.Fatalf("%q: %v", line, err)
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "listening "))
}

// A self-signed certificate and its key, as files.
func identity(t *testing.T) (cert, key string) {
	t.Helper()
	made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, made.Public(), made)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(made)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", secret)
}

// An address where nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func pattern(length int) []byte {
	bytes := make([]byte, length)
	for i := range bytes {
		bytes[i] = byte(uint32(i) * 2654435761 >> 24)
	}
	return bytes
}
