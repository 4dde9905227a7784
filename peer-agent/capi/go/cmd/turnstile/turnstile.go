// Package turnstile bounds how many connections a listener has at once, so that a crowd does not take all files of the process.
package turnstile

import (
	"net"
	"sync"
)

// Listener lets at most all connections be open at once, and at most each of those from one network (an IPv4 address, or 64 bits of an
// IPv6 address). When there are as many as that, the next ones wait in the system's queue; one too many of a network is closed.
func Listener(listener net.Listener, all, each int) net.Listener {
	return &limited{
		Listener: listener,
		places:   make(chan struct{}, all),
		each:     each,
		closed:   make(chan struct{}),
		open:     map[string]int{},
	}
}

type limited struct {
	net.Listener
	places chan struct{}
	each   int
	once   sync.Once
	closed chan struct{}
	mu     sync.Mutex
	// How many each network has.
	open map[string]int
}

// Accept waits for a place, and then for a connection.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			<-l.places
			return nil, err
		}
		if network := networkOf(conn.RemoteAddr()); l.enter(network) {
			return &counted{Conn: conn, leave: func() { l.leave(network) }}, nil
		}
		conn.Close()
	}
}

// Close ends a wait for a place as well.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

func (l *limited) enter(network string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[network] >= l.each {
		return false
	}
	l.open[network]++
	return true
}

func (l *limited) leave(network string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[network]--; l.open[network] == 0 {
		delete(l.open, network)
	}
	<-l.places
}

type counted struct {
	net.Conn
	once  sync.Once
	leave func()
}

// Close gives the place back.
func (c *counted) Close() error {
	defer c.once.Do(c.leave)
	return c.Conn.Close()
}

func networkOf(address net.Addr) string {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return address.String()
	}
	if tcp.IP.To4() != nil {
		return tcp.IP.String()
	}
	return tcp.IP.Mask(net.CIDRMask(64, 128)).String()
}
