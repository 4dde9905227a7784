// Package serving is what the servers have in common: where they listen, by which certificate, and for how long.
package serving

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

	"interop/internal/tls2014"
)

// Where a server listens.
type Where struct {
	addr, cert, key string
	tls12           bool
}

// Flags for all of it.
func (w *Where) Flags() {
	flag.StringVar(&w.addr, "addr", "127.0.0.1:0", "listen on this `ip:port`")
	flag.StringVar(&w.cert, "tls-cert", "", "certificate as a PEM `file`; plain TCP without it")
	flag.StringVar(&w.key, "tls-key", "", "its key as a PEM `file`")
	flag.BoolVar(&w.tls12, "tls12", false, "speak TLS 1.2 with the cipher suites of 2014 alone, as flashlight did")
}

// Run parses the flags and serves until standard input ends, so that the program cannot outlive the test that started it. Its first
// line on standard output is "listening <ip:port>". What ready returns, with the flags parsed, is served.
func (w *Where) Run(program string, ready func() (http.Handler, io.Writer), wrap ...func(net.Listener) net.Listener) {
	flag.Parse()
	if err := w.run(program, ready, wrap); err != nil {
		fmt.Fprintln(os.Stderr, program+":", err)
		os.Exit(1)
	}
}

func (w *Where) run(program string, ready func() (http.Handler, io.Writer), wrap []func(net.Listener) net.Listener) error {
	if flag.NArg() > 0 || (w.cert == "") != (w.key == "") {
		return fmt.Errorf("usage: %s [-tls-cert FILE -tls-key FILE] [flags]; see -help", program)
	}
	listener, err := w.listen()
	if err != nil {
		return err
	}
	for _, wrap := range wrap {
		listener = wrap(listener)
	}
	handler, told := ready()
	server := &http.Server{Handler: handler, ErrorLog: log.New(told, "", 0)}
	ended := make(chan error, 2)
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

func (w *Where) listen() (net.Listener, error) {
	if w.cert == "" {
		if w.tls12 {
			return nil, errors.New("-tls12 is of no use without -tls-cert and -tls-key")
		}
		return net.Listen("tcp", w.addr)
	}
	certificate, err := tls.LoadX509KeyPair(w.cert, w.key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	if w.tls12 {
		tls2014.Limit(config)
	}
	return tls.Listen("tcp", w.addr, config)
}
