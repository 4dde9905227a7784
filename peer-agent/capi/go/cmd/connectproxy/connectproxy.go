// Package connectproxy is a CONNECT proxy made of net/http.
package connectproxy

import (
	"context"
	"crypto/subtle"
	"errors"
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
	// Idle is how long a tunnel lasts in which no byte goes either way; 70 s by default, as in http-proxy and flashlight.
	Idle time.Duration
}

// ServeHTTP serves one request.
func (p Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	shown := []byte(r.Header.Get("X-LANTERN-AUTH-TOKEN"))
	if r.Method != http.MethodConnect || p.Token != "" && subtle.ConstantTimeCompare(shown, []byte(p.Token)) != 1 {
		http.NotFound(w, r)
		return
	}
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		http.Error(w, "tunnels are for HTTP/1.1", http.StatusHTTPVersionNotSupported)
		return
	}
	server, err := p.Dial(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	client, buffered, err := hijacker.Hijack()
	if err != nil {
		server.Close()
		return
	}
	if p.Idle == 0 {
		p.Idle = 70 * time.Second
	}
	carry(client, server, buffered, p.Idle)
}

// carry answers that there is a tunnel, and carries it until it ends. What the client sends comes from upload.
func carry(client, server net.Conn, upload io.Reader, idle time.Duration) {
	end := func() {
		client.Close()
		server.Close()
	}
	defer end()
	// One for both ways, and no deadlines: those would end a download whose client has nothing more to say.
	silence := time.AfterFunc(idle, end)
	defer silence.Stop()
	heard := func() { silence.Reset(idle) }

	if _, err := io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	go func() {
		if err := pour(server, upload, heard); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			end()
			return
		}
		// The client has said all (with TLS' own end, or TCP's alone); the destination may have more to say.
		if half, ok := server.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	_ = pour(client, server, heard)
}

// pour copies until the end, which is no error, and tells whenever something went through.
func pour(to io.Writer, from io.Reader, heard func()) error {
	piece := make([]byte, 32<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			heard()
			if _, err := to.Write(piece[:n]); err != nil {
				return err
			}
			heard()
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
