package turnstile

import (
	"errors"
	"net"
	"testing"
)

func TestNoMoreThanAllAreOpen(t *testing.T) {
	inner := queue("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")
	listener := Listener(inner, 2, 2)
	first, second := accept(t, listener), accept(t, listener)
	// To close it once more gives nothing more back.
	first.Close()
	first.Close()
	third := accept(t, listener)
	waiting := make(chan error, 1)
	go func() {
		_, err := listener.Accept()
		waiting <- err
	}()
	listener.Close()
	if err := <-waiting; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	// Not even by chance.
	for range [30]int{} {
		if conn, err := listener.Accept(); err == nil {
			t.Error(conn.RemoteAddr())
		}
	}
	if len(inner.waiting) != 1 {
		t.Errorf("%d wait", len(inner.waiting))
	}
	second.Close()
	third.Close()
}

func TestNoNetworkHasMoreThanItsPart(t *testing.T) {
	inner := queue("10.0.0.1", "10.0.0.1", "10.0.0.2", "2a00:1:2:3::1", "2a00:1:2:3:4::1", "2a00:1:2:4::1", "10.0.0.1")
	offered := append([]*conn(nil), inner.waiting...)
	listener := Listener(inner, 10, 1)
	first := accept(t, listener)
	for _, expected := range []int{2, 3, 5} {
		if got := accept(t, listener).RemoteAddr(); got != offered[expected].RemoteAddr() {
			t.Errorf("%v and not %v", got, offered[expected].RemoteAddr())
		}
	}
	if !offered[1].closed || !offered[4].closed {
		t.Error("one too many was left open")
	}
	// It has a place again.
	first.Close()
	accept(t, listener)
}

// A failure of the system's takes no place.
func TestFailuresTakeNoPlace(t *testing.T) {
	inner := queue()
	listener := Listener(inner, 1, 1)
	for range [3]int{} {
		if conn, err := listener.Accept(); err == nil {
			t.Error(conn)
		}
	}
	inner.waiting = append(inner.waiting, queue("10.0.0.1").waiting...)
	accept(t, listener)
}

func accept(t *testing.T, listener net.Listener) net.Conn {
	t.Helper()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// A listener with these clients, and a failure after the last.
type clients struct{ waiting []*conn }

func queue(addresses ...string) *clients {
	queued := &clients{}
	for _, address := range addresses {
		queued.waiting = append(queued.waiting, &conn{from: &net.TCPAddr{IP: net.ParseIP(address)}})
	}
	return queued
}

func (c *clients) Accept() (net.Conn, error) {
	if len(c.waiting) == 0 {
		return nil, errors.New("too many open files")
	}
	next := c.waiting[0]
	c.waiting = c.waiting[1:]
	return next, nil
}

func (c *clients) Close() error   { return nil }
func (c *clients) Addr() net.Addr { return nil }

type conn struct {
	net.Conn
	from   net.Addr
	closed bool
}

func (c *conn) RemoteAddr() net.Addr { return c.from }

func (c *conn) Close() error {
	c.closed = true
	return nil
}
