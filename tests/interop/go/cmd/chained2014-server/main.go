// Command chained2014-server does what chained.Server of getlantern did in December 2014, the peer's side of HTTP CONNECT before
// http-proxy. It is a stand-in, written from what was seen of the real one (see README.md): its module is not to be had.
//
// What is odd about it, and what clients have to live with: the answer to CONNECT is chunked, with the one chunk "CONNECT OK" and
// none that ends it, and then come the tunnel's bytes; what a client sends along with the CONNECT is lost; and a client that
// closes one direction is not noticed. There is no token.
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"interop/internal/serving"
)

func main() {
	var where serving.Where
	var s server
	where.Flags()
	flag.BoolVar(&s.split, "split", false, "send the chunk in a segment of its own, after the head")
	where.Run("chained2014-server", func() (http.Handler, io.Writer) { return s, io.Discard })
}

type server struct{ split bool }

func (s server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		w.WriteHeader(http.StatusMethodNotAllowed)
		fmt.Fprintf(w, "Method %s not allowed", r.Method)
		return
	}
	// The request's target, whatever the header Host says.
	destination, err := net.DialTimeout("tcp", r.URL.Host, dialTimeout)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		fmt.Fprintf(w, "Unable to dial %s : %v", r.URL.Host, err)
		return
	}
	defer destination.Close()
	// What net/http has read beyond the head is in the buffer, and lost with it.
	client, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	if err := s.accept(client); err != nil {
		return
	}
	go io.Copy(destination, client)
	io.Copy(client, destination)
}

// What a net/http of then put on the wire for the handler's words, since they were flushed before their length was known.
func (s server) accept(client net.Conn) error {
	head := "HTTP/1.1 200 OK\r\nDate: " + time.Now().UTC().Format(http.TimeFormat) +
		"\r\nContent-Type: text/plain; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
	chunk := "a\r\nCONNECT OK\r\n"
	parts := []string{head + chunk}
	if s.split {
		parts = []string{head, chunk}
	}
	for _, part := range parts {
		// Each is a record of TLS, and a segment as long as there is no other to be sent with.
		if _, err := io.WriteString(client, part); err != nil {
			return err
		}
	}
	return nil
}

// As in flashlight.
const dialTimeout = 10 * time.Second
