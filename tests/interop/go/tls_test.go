package interop

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"reflect"
	"strings"
	"testing"
)

func TestServersSpeakTheTLSOf2014(t *testing.T) {
	for _, name := range servers {
		proxy := serve(t, name, "-tls12", "-tls-cert", keyman+".pem", "-tls-key", keyman+".key.pem")
		conn, err := tls.Dial("tcp", proxy, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if state := conn.ConnectionState(); state.Version != tls.VersionTLS12 || state.CipherSuite != tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 {
			t.Errorf("%s: %#x %s", name, state.Version, tls.CipherSuiteName(state.CipherSuite))
		}
	}
}

// What they offer, and whom they then can speak with.
func TestClientsSpeakTheTLSOf2014(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer site.Close()
	cert, key := identity(t)
	for name, c := range map[string]struct {
		server string
		flags  func(leaf string) []string
	}{
		"enproxy-get": {"enproxy-server", func(string) []string { return []string{"-tls"} }},
		"connect-get": {"chained2014-server", func(leaf string) []string { return []string{"-leaf", leaf} }},
	} {
		hello := offered(t, name, c.flags(keyman+".pem")...)
		for _, suite := range hello.CipherSuites {
			called := tls.CipherSuiteName(suite)
			if !strings.HasPrefix(called, "TLS_ECDHE_RSA_") && !strings.HasPrefix(called, "TLS_RSA_") {
				t.Errorf("%s offers %s", name, called)
			}
		}
		curves := []tls.CurveID{tls.CurveP256, tls.CurveP384, tls.CurveP521}
		if hello.SupportedVersions[0] != tls.VersionTLS12 || !reflect.DeepEqual(hello.SupportedCurves, curves) {
			t.Errorf("%s offers %#x and %v", name, hello.SupportedVersions, hello.SupportedCurves)
		}

		rsa := serve(t, c.server, "-tls-cert", keyman+".pem", "-tls-key", keyman+".key.pem")
		flags := append(c.flags(keyman+".pem"), "-tls12", "-url", site.URL, "-proxy")
		if results, err := fetch(t, name, append(flags, rsa)...); err != nil {
			t.Errorf("%s: %v: %+v", name, err, results)
		}
		ecdsa := serve(t, c.server, "-tls-cert", cert, "-tls-key", key)
		results, err := fetch(t, name, append(flags, ecdsa)...)
		if err == nil || len(results) != 1 || !strings.Contains(results[0].Error, "handshake failure") {
			t.Errorf("%s: %v: %+v", name, err, results)
		}
	}
}

func TestClientsRefuseTLSOf2014WithoutTLS(t *testing.T) {
	for _, name := range []string{"enproxy-get", "connect-get"} {
		out, err := exec.Command(program(name), "-tls12", "-proxy", closed(t), "-url", "http://site.test/").CombinedOutput()
		if err == nil || !strings.HasPrefix(string(out), "usage: "+name) {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}

// What a client says first when limited to the TLS of 2014. It is not answered.
func offered(t *testing.T, name string, flags ...string) *tls.ClientHelloInfo {
	t.Helper()
	hellos := make(chan *tls.ClientHelloInfo, 1)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			select {
			case hellos <- hello:
			default:
			}
			return nil, errors.New("heard enough")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	}()
	flags = append(flags, "-tls12", "-proxy", listener.Addr().String(), "-url", "http://site.test/")
	if results, err := fetch(t, name, flags...); err == nil {
		t.Fatalf("%s: %+v", name, results)
	}
	select {
	case hello := <-hellos:
		return hello
	default:
		t.Fatalf("%s said nothing", name)
		return nil
	}
}

// An RSA key and a certificate over it, made by getlantern/keyman.
const keyman = "../../../attester/src/flashlight/testdata/keyman-rsa"
