// Package forgetting has getlantern/enproxy forget tunnels that have ended. By itself enproxy forgets a tunnel when its connection to the
// destination has been idle, and so never one that got no such connection, nor one whose connection it closed by itself.
package forgetting

import (
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/getlantern/enproxy"
)

// Proxy starts an enproxy.Proxy, whose Dial and HostFn are set, and returns what serves for it. Clients see no difference.
func Proxy(proxy *enproxy.Proxy) http.Handler {
	d := &dialled{allow: proxy.Allow, dial: proxy.Dial, waiting: map[string][]net.Conn{}}
	proxy.Allow, proxy.Dial = d.first, d.take
	proxy.Start()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { proxy.ServeHTTP(response{w}, r) })
}

// dialled are connections that were made before their tunnels.
type dialled struct {
	// The host's own; may be nil.
	allow   func(r *http.Request, address string) (int, error)
	dial    func(address string) (net.Conn, error)
	mu      sync.Mutex
	waiting map[string][]net.Conn
}

// first is asked whether a tunnel is allowed, before there is one to remember. It is when the destination can be dialled; else the
// answer is the one that enproxy gives.
func (d *dialled) first(r *http.Request, address string) (int, error) {
	if d.allow != nil {
		if code, err := d.allow(r, address); err != nil {
			return code, err
		}
	}
	conn, err := d.dial(address)
	if err != nil {
		return http.StatusInternalServerError,
			fmt.Errorf("Unable to get outoing connection to destination server: Unable to dial out to %s: %w", address, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting[address] = append(d.waiting[address], conn)
	return 0, nil
}

// take is called once for each tunnel that was allowed. Of two to one destination either may have either's connection.
func (d *dialled) take(address string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	conns := d.waiting[address]
	if len(conns) == 0 {
		return nil, fmt.Errorf("%s was not dialled", address)
	}
	if len(conns) == 1 {
		delete(d.waiting, address)
	} else {
		d.waiting[address] = conns[:len(conns)-1]
	}
	return conns[len(conns)-1], nil
}

// A response to a client that is gone ends the handler: enproxy would close the connection to the destination, which then is never found
// idle.
type response struct{ http.ResponseWriter }

func (r response) Write(bytes []byte) (int, error) {
	n, err := r.ResponseWriter.Write(bytes)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return n, nil
}

// Flush is asked for by enproxy.
func (r response) Flush() { r.ResponseWriter.(http.Flusher).Flush() }
