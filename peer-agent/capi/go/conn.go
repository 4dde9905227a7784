package agent

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
)

// WrapDial lays the agent around the function with which a host dials destinations, such as enproxy.Proxy.Dial. The address is the
// "host:port" as the client sent it. While no probe is expected there, the connection is returned as it was dialled; otherwise it is
// one around it, which has CloseWrite and CloseRead if that has them, and NetConn, which gives it. A host must not take for granted
// that it gets a *net.TCPConn.
func (a *Agent) WrapDial(dial func(address string) (net.Conn, error)) func(address string) (net.Conn, error) {
	return func(address string) (net.Conn, error) {
		conn, err := dial(address)
		return a.wrapped(conn, err, address)
	}
}

// WrapNetworkDial is WrapDial for functions that are told the network as well, such as net.Dial or a CONNECT proxy's.
func (a *Agent) WrapNetworkDial(dial func(network, address string) (net.Conn, error)) func(network, address string) (net.Conn, error) {
	return func(network, address string) (net.Conn, error) {
		conn, err := dial(network, address)
		return a.wrapped(conn, err, address)
	}
}

// WrapDialContext is WrapDial for functions with a context, such as net.Dialer.DialContext.
func (a *Agent) WrapDialContext(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return a.wrapped(conn, err, address)
	}
}

func (a *Agent) wrapped(conn net.Conn, err error, address string) (net.Conn, error) {
	if err != nil || conn == nil {
		return conn, err
	}
	return a.WrapConn(conn, address), nil
}

// WrapConn lays the agent around a connection that the host opened to destination, the "host:port" as its client sent it, before
// anything was sent on it. While no probe is expected there, it returns the connection itself. After a deadline the host goes on with what
// was left of its piece.
func (a *Agent) WrapConn(conn net.Conn, destination string) net.Conn {
	reporter := a.open(destination)
	if reporter == nil {
		return conn
	}
	return watched(conn, reporter)
}

// reporter is where a connection's bytes and its end are told. All but close answer whether more is wanted, or nothing.
type reporter interface {
	up([]byte) bool
	down([]byte) bool
	eof()
	failed()
	close()
}

// A watchedConn tells the agent what goes through it. What several goroutines read or write at once is told in the order in which it goes.
type watchedConn struct {
	net.Conn
	flow reporter
	// Nothing more is to be told.
	over             atomic.Bool
	reading, writing sync.Mutex
	// Of what was told, the bytes that are not sent. Under writing.
	unsent int
}

// A writeClosingConn is one whose sending side can be closed alone, as that of a *tls.Conn.
type writeClosingConn struct {
	*watchedConn
	write writeCloser
}

// A halfClosingConn is one of which either side can be closed alone, as that of a *net.TCPConn.
type halfClosingConn struct {
	*writeClosingConn
	read readCloser
}

type writeCloser interface{ CloseWrite() error }
type readCloser interface{ CloseRead() error }

func watched(conn net.Conn, flow reporter) net.Conn {
	watched := &watchedConn{Conn: conn, flow: flow}
	// Some servers leave a connection to the garbage collector.
	runtime.SetFinalizer(watched, func(watched *watchedConn) { watched.flow.close() })
	write, ok := conn.(writeCloser)
	if !ok {
		return watched
	}
	closing := &writeClosingConn{watched, write}
	if read, ok := conn.(readCloser); ok {
		return &halfClosingConn{closing, read}
	}
	return closing
}

// NetConn is the connection that was dialled. What is read from it or written to it is not told.
func (c *watchedConn) NetConn() net.Conn { return c.Conn }

func (c *watchedConn) Read(bytes []byte) (int, error) {
	if c.over.Load() {
		return c.Conn.Read(bytes)
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	n, err := c.Conn.Read(bytes)
	if n > 0 && !c.over.Load() && !c.flow.down(bytes[:n]) {
		c.over.Store(true)
	}
	c.ended(err)
	return n, err
}

// Write tells bytes before they are sent: the destination may have answered and closed, and another goroutine told so, before this one
// goes on. What a deadline leaves over was told, and is not told again when the host goes on with it.
func (c *watchedConn) Write(bytes []byte) (int, error) {
	if c.over.Load() {
		return c.Conn.Write(bytes)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	told := c.unsent
	if told > len(bytes) {
		told = len(bytes)
	}
	if untold := bytes[told:]; len(untold) > 0 && !c.over.Load() && !c.flow.up(untold) {
		c.over.Store(true)
	}
	n, err := c.Conn.Write(bytes)
	c.unsent += len(bytes) - told - n
	c.ended(err)
	return n, err
}

// ended tells how a connection ended, if it did: a read whose deadline came has not ended it, since enproxy asks its destinations with
// deadlines of 35 ms.
func (c *watchedConn) ended(err error) {
	switch {
	case err == nil, c.over.Load(), isDeadline(err):
	case errors.Is(err, io.EOF):
		c.flow.eof()
		c.over.Store(true)
	case errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		// The host's own doing, which Close tells.
	default:
		c.flow.failed()
		c.over.Store(true)
	}
}

// isDeadline tells a deadline of the host, its own kinds among them, from a destination that does not answer any more.
func isDeadline(err error) bool {
	var timed net.Error
	return errors.As(err, &timed) && timed.Timeout() && !errors.Is(err, syscall.ETIMEDOUT)
}

// Close tells that the host closed the connection, unless an end was told before.
func (c *watchedConn) Close() error {
	c.over.Store(true)
	c.flow.close()
	return c.Conn.Close()
}

// CloseWrite closes the sending side.
func (c *writeClosingConn) CloseWrite() error { return c.write.CloseWrite() }

// CloseRead closes the receiving side.
func (c *halfClosingConn) CloseRead() error { return c.read.CloseRead() }
