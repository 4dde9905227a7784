// Command chained2014-server does what chained.Server of getlantern did in December 2014, the peer's side of HTTP CONNECT before
// http-proxy. It is a stand-in, written from what was seen of the real one (see README.md): its module is not to be had.
//
// What is odd about it, and what clients have to live with: the answer to CONNECT is chunked, with the one chunk "CONNECT OK" and
// none that ends it, and then come the tunnel's bytes; what a client sends along with the CONNECT is lost; and a client that
// closes one direction is not noticed. There is no token.
//
// The first line on standard output is "listening <ip:port>". It ends when standard input ends, so that it cannot outlive
// the test that started it.
package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:0", "listen on this `ip:port`")
	flag.StringVar(&o.cert, "tls-cert", "", "certificate as a PEM `file`; plain TCP without it")
	flag.StringVar(&o.key, "tls-key", "", "its key as a PEM `file`")
	flag.BoolVar(&o.split, "split", false, "send the chunk in a segment of its own, after the head")
	flag.Parse()
	if err := serve(o); err != nil {
		fmt.Fprintln(os.Stderr, "chained2014-server:", err)
		os.Exit(1)
	}
}

type options struct {
	addr, cert, key string
	split           bool
}

func serve(o options) error {
	if flag.NArg() > 0 || (o.cert == "") != (o.key == "") {
		return errors.New("usage: chained2014-server [-tls-cert FILE -tls-key FILE] [flags]; see -help")
	}
	listener, err := listen(o)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: o, ErrorLog: log.New(io.Discard, "", 0)}
	// TLS would offer HTTP/2, from which no connection can be taken over.
	server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		ended <- err
	}()
	fmt.Println("listening", listener.Addr())
	err = <-ended
	server.Close()
	return err
}

func listen(o options) (net.Listener, error) {
	var config *tls.Config
	if o.cert != "" {
		certificate, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, err
		}
		config = &tls.Config{Certificates: []tls.Certificate{certificate}}
	}
	listener, err := net.Listen("tcp", o.addr)
	if err == nil && config != nil {
		listener = tls.NewListener(listener, config)
	}
	return listener, err
}

func (o options) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
	if err := o.accept(client); err != nil {
		return
	}
	go io.Copy(destination, client)
	io.Copy(client, destination)
}

// What a net/http of then put on the wire for the handler's words, since they were flushed before their length was known.
func (o options) accept(client net.Conn) error {
	head := "HTTP/1.1 200 OK\r\nDate: " + time.Now().UTC().Format(http.TimeFormat) +
		"\r\nContent-Type: text/plain; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
	chunk := "a\r\nCONNECT OK\r\n"
	parts := []string{head + chunk}
	if o.split {
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
