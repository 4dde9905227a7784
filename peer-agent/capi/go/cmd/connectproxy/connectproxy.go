// Package connectproxy is a CONNECT proxy made of net/http.
package connectproxy

import (
	"context"
	"crypto/subtle"
	"io"
	"net"
	"net/http"
	"time"
)

// Proxy carries tunnels. To all who do not ask for one, or lack the token, it is a web server with nothing to show.
type Proxy struct {
	// Token is what clients must send as X-LANTERN-AUTH-TOKEN; without it anyone is served.
	Token string
	// Dial opens a connection to a destination.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// ServeHTTP serves one request.
func (p Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	shown := []byte(r.Header.Get("X-LANTERN-AUTH-TOKEN"))
	if r.Method != http.MethodConnect || p.Token != "" && subtle.ConstantTimeCompare(shown, []byte(p.Token)) != 1 {
		http.NotFound(w, r)
		return
	}
	server, err := p.Dial(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, buffered, err := w.(http.Hijacker).Hijack() // HTTP/1.1 is all that is offered
	if err != nil {
		return
	}
	defer client.Close()
	_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		_, _ = io.Copy(server, buffered)
		// The destination may have more to say, for a while.
		_ = server.SetReadDeadline(time.Now().Add(70 * time.Second))
		if half, ok := server.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	_, _ = io.Copy(client, server)
}
