// Package interop has no code of its own: these tests try its programs on each other.
package interop

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

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
	old := server(t, "-host", "peer.test", "-as-2014")
	for _, length := range []int{0, 36, 300000} {
		for _, flags := range [][]string{
			{"-proxy", plain},
			{"-proxy", secured, "-tls"},
			{"-proxy", secured, "-tls", "-buffer"},
			{"-proxy", secured, "-tls", "-headers", "-repeat", "3"},
			{"-proxy", secured, "-tls", "-repeat", "3", "-parallel", "2"},
			{"-proxy", secured, "-tls", "-headers", "-buffer", "-host", "other.test"},
			{"-proxy", secured, "-tls", "-as-2014-08", "-repeat", "3"},
			{"-proxy", old, "-as-2014-08"},
			{"-proxy", old, "-headers"},
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
	for _, buffer := range []string{"-buffer=false", "-buffer", "-as-2014-08"} {
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
	proxy, old := server(t), server(t, "-as-2014")
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
		{"http://" + closed(t), old, 0, 0, "Bad response status: 502 Bad Gateway: "},
	} {
		flags := []string{"-proxy", c.proxy, "-url", c.url}
		if c.proxy == old {
			flags = append(flags, "-as-2014-08")
		}
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

func TestAgain(t *testing.T) {
	var connections sync.Map
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connections.Store(r.RemoteAddr, true)
		w.Write(pattern(36))
	}))
	defer site.Close()
	for name, proxy := range map[string]string{"enproxy-get": server(t), "connect-get": serve(t, "chained2014-server")} {
		command := exec.Command(program(name), "-proxy", proxy, "-url", site.URL, "-again")
		command.Stdin = strings.NewReader("\n\n")
		out, err := command.Output()
		used := 0
		connections.Range(func(address, _ any) bool {
			connections.Delete(address)
			used++
			return true
		})
		if err != nil || strings.Count(string(out), `"status":200`) != 3 || used != 1 {
			t.Errorf("%s: %v: %d connections: %s", name, err, used, out)
		}
	}
}

func TestConnect(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(pattern(300000)) }))
	defer site.Close()
	cert, key := identity(t)
	other, _ := identity(t)
	plain := serve(t, "chained2014-server")
	secured := serve(t, "chained2014-server", "-tls-cert", cert, "-tls-key", key)
	for _, c := range []struct {
		flags []string
		url   string
		err   string
	}{
		{[]string{"-proxy", plain}, site.URL, ""},
		{[]string{"-proxy", secured, "-leaf", cert, "-token", "a", "-token", "b"}, site.URL, ""},
		{[]string{"-proxy", secured, "-leaf", other}, site.URL, "another certificate"},
		{[]string{"-proxy", plain}, "http://" + closed(t), "no tunnel: 502 Bad Gateway: Unable to dial"},
	} {
		results, err := fetch(t, "connect-get", append(c.flags, "-url", c.url)...)
		if len(results) != 1 || (err == nil) != (c.err == "") {
			t.Fatalf("%v: %v: %+v", c.flags, err, results)
		}
		r := results[0]
		if c.err == "" && (r.Status != 200 || r.Length != 300000 || r.Error != "") || !strings.Contains(r.Error, c.err) {
			t.Errorf("%v: %+v", c.flags, r)
		}
	}
}

func TestChained2014AnswersByteForByte(t *testing.T) {
	destination, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer destination.Close()
	go func() {
		conn, err := destination.Accept()
		if err == nil {
			// What comes first is what was not sent along with the CONNECT.
			first := make([]byte, 5)
			io.ReadFull(conn, first)
			fmt.Fprintf(conn, "%q came", first)
			conn.Close()
		}
	}()
	for _, flag := range []string{"-split=false", "-split"} {
		proxy := serve(t, "chained2014-server", flag)
		if got := exchange(t, proxy, "GET / HTTP/1.1\r\nHost: peer\r\nConnection: close\r\n\r\n", ""); !strings.HasPrefix(got,
			"HTTP/1.1 405 Method Not Allowed\r\n") || !strings.HasSuffix(got, "\r\n\r\nMethod GET not allowed") {
			t.Errorf("%q", got)
		}
	}
	head := fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: elsewhere:1\r\n\r\nlost", destination.Addr())
	got := exchange(t, serve(t, "chained2014-server"), head, "CONNECT OK\r\n", "later")
	lines := strings.Split(got, "\r\n")
	if len(lines) != 8 || lines[0] != "HTTP/1.1 200 OK" || !strings.HasPrefix(lines[1], "Date: ") ||
		strings.Join(lines[2:], "|") != `Content-Type: text/plain; charset=utf-8|Transfer-Encoding: chunked||a|CONNECT OK|"later" came` {
		t.Errorf("%q", got)
	}
}

// What the servers of 2014 answered: tests/captures/tls-2014-server-statuses.txt.
func TestServersOf2014AnswerByteForByte(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer site.Close()
	proxy := server(t, "-host", "peer.test", "-as-2014")
	address, nowhere := strings.TrimPrefix(site.URL, "http://"), closed(t)
	form := func(id, addr, op string) string {
		return "X-Enproxy-Id: " + id + "\r\nX-Enproxy-Dest-Addr: " + addr + "\r\nX-Enproxy-Op: " + op + "\r\n"
	}
	path := "POST /c/" + address + "/write/"
	const refused = "HTTP/1.1 502 Bad Gateway|Date: |Content-Length: 0||"
	for _, c := range []struct{ line, fields, want string }{
		{"POST /", "", refused},
		{"POST /", form("a", "", "write"), refused},
		{"HEAD /", "", "HTTP/1.1 200 OK|Date: ||"},
		{"POST /", form("b", nowhere, "write"), refused},
		// A failed id is remembered, and has no connection.
		{"POST /", form("b", nowhere, "write"), ""},
		{"POST /", form("d", address, "other"), refused},
		{path, "", refused},
		{path, form("e", address, "write"), "HTTP/1.1 200 OK|X-Enproxy-Id: e|X-Enproxy-Proxy-Host: peer.test|Date: |Content-Length: 0||"},
	} {
		conn, err := net.Dial("tcp", proxy)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: peer\r\nContent-Length: 1\r\n%s\r\n.", c.line, c.fields)
		// The head, or nothing.
		got := ""
		for lines := bufio.NewScanner(conn); !strings.HasSuffix(got, "||") && lines.Scan(); {
			line := lines.Text()
			if strings.HasPrefix(line, "Date: ") {
				line = "Date: "
			}
			got += line + "|"
		}
		if got != c.want {
			t.Errorf("%v: %q", c, got)
		}
	}
}

func TestPeerscannerCheck(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "HEAD" {
			t.Error(r.Method)
		}
		if r.URL.Path != "/" {
			http.NotFound(w, r)
		}
	}))
	defer site.Close()
	cert, key := identity(t)
	peer := server(t, "-host", "peer.test", "-tls-cert", cert, "-tls-key", key)
	for _, c := range []struct {
		peer, name, site string
		repeat           int
		err              string
	}{
		{peer, "peer.test", site.URL, 3, ""},
		{peer, "other.test", site.URL, 1, `registered as "other.test" and calls itself "peer.test"`},
		{peer, "peer.test", site.URL + "/missing", 1, "unexpected status 404"},
		{closed(t), "peer.test", site.URL, 1, "connection refused"},
		{peer, "peer.test", "http://" + closed(t), 1, "Unable to get outoing connection"},
	} {
		command := exec.Command(program("peerscanner-check"), "-peer", c.peer, "-name", c.name, "-site", c.site,
			"-repeat", fmt.Sprint(c.repeat), "-parallel", "2")
		out, err := command.Output()
		online := strings.Count(string(out), `"online":true`)
		if (err == nil) != (c.err == "") || strings.Count(string(out), "\n") != c.repeat || (online == c.repeat) != (c.err == "") {
			t.Errorf("%v: %v: %s", c, err, out)
		}
		var r struct {
			Refused bool `json:"connection_refused"`
			Error   string
		}
		if err := json.NewDecoder(bytes.NewReader(out)).Decode(&r); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(r.Error, c.err) || r.Refused != (c.err == "connection refused") {
			t.Errorf("%v: %+v", c, r)
		}
	}
}

func TestServersEndWithTheirInput(t *testing.T) {
	for _, name := range servers {
		command := exec.Command(program(name))
		input, err := command.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		input.Close()
		if err := command.Wait(); err != nil {
			t.Fatal(name, err)
		}
	}
}

func TestServersRefuseWhatCannotWork(t *testing.T) {
	cert, _ := identity(t)
	for _, name := range servers {
		for _, flags := range [][]string{
			{"-tls-cert", cert}, {"-tls-cert", cert, "-tls-key", cert}, {"-tls12"}, {"-addr", "192.0.2.1:0"}, {"more"},
		} {
			out, err := exec.Command(program(name), flags...).CombinedOutput()
			if err == nil || !strings.HasPrefix(string(out), name+": ") {
				t.Errorf("%v: %v: %s", flags, err, out)
			}
		}
	}
}

var servers = []string{"enproxy-server", "chained2014-server"}
