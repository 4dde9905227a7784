package connectproxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// A client may say that it has nothing more to send, and hear the rest for as long as that takes.
func TestADownloadOutlastsTheClientsEnd(t *testing.T) {
	const idle, pieces = time.Second, 40
	near, far := pair(t)
	client, answers := tunnel(t, Proxy{Dial: to(near), Idle: idle})
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer far.Close()
		// It hears the end as well.
		if _, err := io.Copy(io.Discard, far); err != nil {
			return
		}
		ticker := time.NewTicker(2 * idle / pieces)
		defer ticker.Stop()
		for range [pieces]int{} {
			<-ticker.C
			fmt.Fprint(far, "tick")
		}
	}()
	heard, err := io.ReadAll(answers)
	if err != nil || string(heard) != strings.Repeat("tick", pieces) {
		t.Errorf("%d bytes: %v", len(heard), err)
	}
}

// And an upload outlasts a destination that says nothing.
func TestAnUploadIsNotIdle(t *testing.T) {
	const idle, pieces = time.Second, 40
	near, far := pair(t)
	client, _ := tunnel(t, Proxy{Dial: to(near), Idle: idle})
	go func() {
		ticker := time.NewTicker(2 * idle / pieces)
		defer ticker.Stop()
		for range [pieces]int{} {
			<-ticker.C
			fmt.Fprint(client, "tick")
		}
		_ = client.CloseWrite()
	}()
	heard, err := io.ReadAll(far)
	if err != nil || string(heard) != strings.Repeat("tick", pieces) {
		t.Errorf("%d bytes: %v", len(heard), err)
	}
}

func TestASilentTunnelEnds(t *testing.T) {
	near, far := pair(t)
	_, answers := tunnel(t, Proxy{Dial: to(near), Idle: 500 * time.Millisecond})
	for name, side := range map[string]io.Reader{"client": answers, "destination": far} {
		if _, err := io.Copy(io.Discard, side); err != nil {
			t.Errorf("the %s's is kept: %v", name, err)
		}
	}
}

// The destination takes nothing, and the client is gone: nobody reads there, and nobody notices that.
func TestADestinationThatTakesNothingIsNotKept(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	server := &seen{Conn: near, closed: make(chan struct{})}
	client, _ := tunnel(t, Proxy{Dial: to(server), Idle: 500 * time.Millisecond})
	fmt.Fprint(client, "what nobody takes")
	client.Close()
	server.wait(t)
}

// A client that breaks off hears nothing more: its destination is closed at once.
func TestAClientThatBreaksOffLeavesNothing(t *testing.T) {
	near, _ := pair(t)
	server := &seen{Conn: near, closed: make(chan struct{})}
	client, _ := tunnel(t, Proxy{Dial: to(server), Idle: time.Hour})
	_ = client.SetLinger(0)
	client.Close()
	server.wait(t)
}

// Over HTTP/2 net/http gives no connection away; nothing is dialled then.
func TestTunnelsAreForTheFirstHTTP(t *testing.T) {
	answer := httptest.NewRecorder()
	Proxy{}.ServeHTTP(answer, httptest.NewRequest(http.MethodConnect, "x.test:80", nil))
	if answer.Code != http.StatusHTTPVersionNotSupported {
		t.Error(answer.Code)
	}
}

func TestNothingIsShownWithoutTheToken(t *testing.T) {
	for _, request := range []*http.Request{
		httptest.NewRequest(http.MethodGet, "/", nil),
		httptest.NewRequest(http.MethodConnect, "x.test:80", nil),
	} {
		answer := httptest.NewRecorder()
		Proxy{Token: "sekrit"}.ServeHTTP(answer, request)
		if answer.Code != http.StatusNotFound {
			t.Error(request.Method, answer.Code)
		}
	}
}

// tunnel opens one through a proxy, and returns the client's end and what reads there.
func tunnel(t *testing.T, proxy Proxy) (*net.TCPConn, io.Reader) {
	t.Helper()
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprint(conn, "CONNECT x.test:80 HTTP/1.1\r\nHost: x.test:80\r\n\r\n")
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer, err)
	}
	return conn.(*net.TCPConn), reader
}

// pair is a connection, with both of its ends.
func pair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if near, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	_ = far.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	return near, far
}

func to(conn net.Conn) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) { return conn, nil }
}

// seen tells when it was closed.
type seen struct {
	net.Conn
	closed chan struct{}
	once   sync.Once
}

func (s *seen) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Conn.Close()
}

func (s *seen) wait(t *testing.T) {
	t.Helper()
	select {
	case <-s.closed:
	case <-time.After(patience):
		t.Error("it is kept")
	}
}

const patience = 20 * time.Second
