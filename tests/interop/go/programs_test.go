// Package interop has no code of its own: these tests try its programs on each other.
package interop

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
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

func TestGet(t *testing.T) {
	cert, key := identity(t)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var length int
		fmt.Sscanf(r.URL.Path, "/%d", &length)
		w.Write(pattern(length))
	}))
	defer site.Close()
	plain := server(t, "-host", "peer.test")
	secured := server(t, "-host", "peer.test", "-tls-cert", cert, "-tls-key", key)
	for _, length := range []int{0, 36, 300000} {
		for _, flags := range [][]string{
			{"-proxy", plain},
			{"-proxy", secured, "-tls"},
			{"-proxy", secured, "-tls", "-buffer"},
			{"-proxy", secured, "-tls", "-headers", "-repeat", "3"},
			{"-proxy", secured, "-tls", "-repeat", "3", "-parallel", "2"},
			{"-proxy", secured, "-tls", "-headers", "-buffer", "-host", "other.test"},
		} {
			results, err := get(t, append(flags, "-url", fmt.Sprintf("%s/%d", site.URL, length))...)
			times := 1
			if strings.Contains(strings.Join(flags, " "), "-repeat 3") {
				times = 3
			}
			if err != nil || len(results) != times {
				t.Fatalf("%v: %v: %+v", flags, err, results)
			}
			digest := sha256.Sum256(pattern(length))
			for _, r := range results {
				if r.Status != 200 || r.Length != length || r.SHA256 != hex.EncodeToString(digest[:]) ||
					r.ProxyHost != "peer.test" || r.Micros <= 0 || r.Error != "" {
					t.Fatalf("%v: %+v", flags, r)
				}
			}
		}
	}
}

func TestPost(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != "POST" {
			t.Errorf("%s: %v", r.Method, err)
		}
		w.Write(body)
	}))
	defer site.Close()
	proxy := server(t)
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, pattern(300000), 0o600); err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(pattern(300000))
	for _, buffer := range []string{"-buffer=false", "-buffer"} {
		results, err := get(t, "-proxy", proxy, "-url", site.URL, "-post", file, buffer)
		if err != nil || len(results) != 1 || results[0].SHA256 != hex.EncodeToString(digest[:]) {
			t.Errorf("%s: %v: %+v", buffer, err, results)
		}
	}
}

func TestGetSaysWhatWentWrong(t *testing.T) {
	over := make(chan struct{})
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/missing":
			http.NotFound(w, r)
		case "/moved":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/short":
			w.Header().Set("Content-Length", "100")
			w.Write(pattern(50))
		case "/hung":
			<-over
		}
	}))
	defer site.Close()
	defer close(over)
	proxy := server(t)
	for _, c := range []struct {
		url, proxy     string
		status, length int
		err            string
	}{
		{site.URL + "/missing", proxy, 404, len("404 page not found\n"), ""},
		{site.URL + "/moved", proxy, 302, len("<a href=\"/\">Found</a>.\n\n"), ""},
		{site.URL + "/short", proxy, 200, 50, "unexpected EOF"},
		{site.URL + "/hung", proxy, 0, 0, "no complete answer within 1s"},
		{"http://" + closed(t), proxy, 0, 0, "Unable to get outoing connection"},
		{site.URL, closed(t), 0, 0, "refused"},
	} {
		flags := []string{"-proxy", c.proxy, "-url", c.url}
		if strings.HasSuffix(c.url, "/hung") {
			flags = append(flags, "-timeout", "1s")
		}
		results, err := get(t, flags...)
		if _, failed := err.(*exec.ExitError); !failed || len(results) != 1 {
			t.Fatalf("%s: %v: %+v", c.url, err, results)
		}
		r := results[0]
		if r.Status != c.status || r.Length != c.length || !strings.Contains(r.Error, c.err) || (r.Error == "") != (c.err == "") {
			t.Errorf("%s: %+v", c.url, r)
		}
	}
}

func TestServerEndsWithItsInput(t *testing.T) {
	command := exec.Command(filepath.Join(bin, "enproxy-server"))
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	input.Close()
	if err := command.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestServerRefusesWhatCannotWork(t *testing.T) {
	cert, _ := identity(t)
	for _, flags := range [][]string{
		{"-tls-cert", cert}, {"-tls-cert", cert, "-tls-key", cert}, {"-addr", "192.0.2.1:0"}, {"more"},
	} {
		out, err := exec.Command(filepath.Join(bin, "enproxy-server"), flags...).CombinedOutput()
		if err == nil || !strings.HasPrefix(string(out), "enproxy-server: ") {
			t.Errorf("%v: %v: %s", flags, err, out)
		}
	}
}

type result struct {
	Status, Length, Micros int
	SHA256, Error          string
	ProxyHost              string `json:"proxy_host"`
}

func get(t *testing.T, flags ...string) (results []result, failed error) {
	t.Helper()
	out, failed := exec.Command(filepath.Join(bin, "enproxy-get"), flags...).Output()
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

// A running server, until the test ends. Its address is returned.
func server(t *testing.T, flags ...string) string {
	t.Helper()
	command := exec.Command(filepath.Join(bin, "enproxy-server"), flags...)
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
