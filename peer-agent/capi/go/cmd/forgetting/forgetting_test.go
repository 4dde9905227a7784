package forgetting

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/getlantern/enproxy"
)

// The client is told what enproxy says by itself, and nothing is left of the tunnel.
func TestATunnelWithoutADestinationIsForgotten(t *testing.T) {
	refuses := func(string) (net.Conn, error) { return nil, errors.New("it is closed") }
	plain, proxy := &enproxy.Proxy{Dial: refuses}, &enproxy.Proxy{Dial: refuses}
	plain.Start()
	expected, answer := httptest.NewRecorder(), httptest.NewRecorder()
	plain.ServeHTTP(expected, request("one", "x.test:80", "write", "hello"))
	handler := Proxy(proxy)
	handler.ServeHTTP(answer, request("one", "x.test:80", "write", "hello"))
	if answer.Code != expected.Code || answer.Body.String() != expected.Body.String() {
		t.Errorf("%d %s; by itself %d %s", answer.Code, answer.Body, expected.Code, expected.Body)
	}
	if remembered(proxy) != 0 {
		t.Errorf("%d are remembered; by itself %d", remembered(proxy), remembered(plain))
	}
	// As often as it is asked for.
	again := httptest.NewRecorder()
	handler.ServeHTTP(again, request("one", "x.test:80", "read", ""))
	if again.Code != http.StatusInternalServerError {
		t.Error(again.Code, again.Body)
	}
}

// A client went away while the destination was talking to it: that is closed and forgotten when it has been idle.
func TestATunnelWhoseResponseWasCutIsForgotten(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	proxy := &enproxy.Proxy{Dial: func(string) (net.Conn, error) { return near, nil }, IdleTimeout: time.Second}
	handler := Proxy(proxy)
	go func() { _, _ = far.Write([]byte("what nobody hears")) }()
	func() {
		defer func() {
			if recover() != http.ErrAbortHandler {
				t.Error("the handler went on")
			}
		}()
		handler.ServeHTTP(gone{}, request("one", "x.test:80", "read", ""))
	}()
	if _, err := io.Copy(io.Discard, far); err != nil {
		t.Error(err)
	}
	for until := time.Now().Add(20 * time.Second); remembered(proxy) != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("it is remembered")
		}
	}
}

// Tunnels to one destination have a connection each, and carry what they should.
func TestEachTunnelHasItsConnection(t *testing.T) {
	dials := 0
	proxy := &enproxy.Proxy{Dial: func(string) (net.Conn, error) {
		dials++
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			_, _ = io.CopyN(far, far, 5)
		}()
		return near, nil
	}}
	handler := Proxy(proxy)
	for _, id := range []string{"one", "two"} {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request(id, "x.test:80", "write", "hel"))
		handler.ServeHTTP(answer, request(id, "x.test:80", "write", "lo"))
		handler.ServeHTTP(answer, request(id, "x.test:80", "read", ""))
		if answer.Code != http.StatusOK || answer.Body.String() != "hello" {
			t.Error(answer.Code, answer.Body)
		}
	}
	if dials != 2 || remembered(proxy) != 2 {
		t.Error(dials, remembered(proxy))
	}
}

// What the host does not allow is not dialled.
func TestTheHostIsAskedFirst(t *testing.T) {
	proxy := &enproxy.Proxy{
		Dial:  func(string) (net.Conn, error) { t.Error("it was dialled"); return nil, errors.New("closed") },
		Allow: func(*http.Request, string) (int, error) { return http.StatusForbidden, errors.New("not there") },
	}
	answer := httptest.NewRecorder()
	Proxy(proxy).ServeHTTP(answer, request("one", "x.test:80", "write", ""))
	if answer.Code != http.StatusForbidden || answer.Body.String() != "not there" || remembered(proxy) != 0 {
		t.Error(answer.Code, answer.Body)
	}
}

func TestEachConnectionIsTakenOnce(t *testing.T) {
	dials := map[net.Conn]bool{}
	d := &dialled{waiting: map[string][]net.Conn{}, dial: func(string) (net.Conn, error) {
		conn, _ := net.Pipe()
		dials[conn] = true
		return conn, nil
	}}
	for range [2]int{} {
		if code, err := d.first(nil, "x.test:80"); err != nil {
			t.Fatal(code, err)
		}
	}
	for range [2]int{} {
		conn, err := d.take("x.test:80")
		if err != nil || !dials[conn] {
			t.Fatal(conn, err)
		}
		delete(dials, conn)
	}
	if conn, err := d.take("x.test:80"); err == nil || len(d.waiting) != 0 {
		t.Error(conn, d.waiting)
	}
}

func request(id, destination, operation, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("X-Enproxy-Id", id)
	r.Header.Set("X-Enproxy-Dest-Addr", destination)
	r.Header.Set("X-Enproxy-Op", operation)
	return r
}

// gone is a client that is not there any more.
type gone struct{}

func (gone) Header() http.Header       { return http.Header{} }
func (gone) WriteHeader(int)           {}
func (gone) Flush()                    {}
func (gone) Write([]byte) (int, error) { return 0, errors.New("it is gone") }

// remembered is how many tunnels enproxy has, which it tells nobody.
func remembered(proxy *enproxy.Proxy) int {
	fields := reflect.ValueOf(proxy).Elem()
	mutex := (*sync.RWMutex)(unsafe.Pointer(fields.FieldByName("connMapMutex").UnsafeAddr()))
	mutex.RLock()
	defer mutex.RUnlock()
	return fields.FieldByName("connMap").Len()
}
