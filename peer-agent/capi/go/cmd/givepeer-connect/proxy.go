package main

import (
	"context"
	"crypto/subtle"
	"io"
	"net"
	"net/http"
	"time"
)

// proxy carries tunnels. To all who do not ask for one, or lack the token, it is a web server with nothing to show.
type proxy struct {
	token string
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
}

func (p proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	shown := []byte(r.Header.Get("X-LANTERN-AUTH-TOKEN"))
	if r.Method != http.MethodConnect || p.token != "" && subtle.ConstantTimeCompare(shown, []byte(p.token)) != 1 {
		http.NotFound(w, r)
		return
	}
	server, err := p.dial(r.Context(), "tcp", r.Host)
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
