// Package interop has no code of its own: these tests try its program.
package interop

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		bin, err := os.MkdirTemp("", "interop")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(bin)
		program = filepath.Join(bin, "http-proxy-server")
		build := exec.Command("go", "build", "-buildvcs=false", "-o", program, "./cmd/http-proxy-server")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "go build:", err)
			return 1
		}
		return m.Run()
	}())
}

func TestConnect(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
	}))
	defer site.Close()
	destination := strings.TrimPrefix(site.URL, "http://")
	for _, c := range []struct {
		flags, tokens []string
		status        int
		body          string
	}{
		{nil, nil, 200, "hello"},
		{[]string{"-token", "sekrit"}, []string{"sekrit"}, 200, "hello"},
		{[]string{"-token", "sekrit"}, []string{"another's", "sekrit"}, 200, "hello"},
		{[]string{"-token", "sekrit"}, []string{"guess"}, 400, "Apache/2.4.7"},
		{[]string{"-token", "sekrit"}, nil, 400, "Apache/2.4.7"},
		{[]string{"-block-local"}, nil, 403, "requested loopback address"},
	} {
		folder := t.TempDir()
		flags := append(c.flags, "-tls-cert", filepath.Join(folder, "crt"), "-tls-key", filepath.Join(folder, "key"))
		status, body := connect(t, server(t, flags...), destination, c.tokens)
		if status != c.status || !strings.Contains(body, c.body) {
			t.Errorf("%v, %v: %d %q", c.flags, c.tokens, status, body)
		}
	}
}

func TestServerEndsWithItsInput(t *testing.T) {
	command := exec.Command(program)
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
	for _, flags := range [][]string{{"-tls-cert", "only"}, {"-addr", "192.0.2.1:0"}, {"more"}} {
		out, err := exec.Command(program, flags...).CombinedOutput()
		if err == nil || !strings.HasPrefix(string(out), "http-proxy-server: ") {
			t.Errorf("%v: %v: %s", flags, err, out)
		}
	}
}

// What is answered to a CONNECT or, where that is a tunnel, to a GET inside.
func connect(t *testing.T, proxy, destination string, tokens []string) (int, string) {
	t.Helper()
	conn, err := tls.Dial("tcp", proxy, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	head := fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %s\r\n", destination, destination)
	for _, token := range tokens {
		head += "X-Lantern-Auth-Token: " + token + "\r\n"
	}
	fmt.Fprintf(conn, "%s\r\n", head)
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err == nil && response.StatusCode == 200 {
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", destination)
		response, err = http.ReadResponse(reader, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// A running server, until the test ends. Its address is returned.
func server(t *testing.T, flags ...string) string {
	t.Helper()
	command := exec.Command(program, flags...)
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
	for lines := bufio.NewScanner(output); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "listening ") {
			return strings.TrimPrefix(lines.Text(), "listening ")
		}
	}
	t.Fatal("the server did not start")
	return ""
}
