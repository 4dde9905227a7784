// Command enproxy-server runs the server of getlantern/enproxy the way flashlight's give mode runs it: as the handler of an
// HTTP server without time limits, over TLS, with idle connections closed after 70 s. (The package's own Proxy.Serve closes
// a connection after 10 s, so that a client never sees an empty read's answer.)
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

	"github.com/getlantern/enproxy"
	"github.com/getlantern/golog"
	"github.com/getlantern/idletiming"
)

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:0", "listen on this `ip:port`")
	flag.StringVar(&o.cert, "tls-cert", "", "certificate as a PEM `file`; plain TCP without it")
	flag.StringVar(&o.key, "tls-key", "", "its key as a PEM `file`")
	flag.StringVar(&o.host, "host", "", "the `name` told in X-Enproxy-Proxy-Host")
	flag.DurationVar(&o.idle, "idle", 0, "forget silent tunnels after this `duration`; the package's default is 70s")
	flag.BoolVar(&o.verbose, "verbose", false, "show the package's own log on standard error")
	flag.Parse()
	if err := serve(o); err != nil {
		fmt.Fprintln(os.Stderr, "enproxy-server:", err)
		os.Exit(1)
	}
}

type options struct {
	addr, cert, key, host string
	idle                  time.Duration
	verbose               bool
}

func serve(o options) error {
	if flag.NArg() > 0 || (o.cert == "") != (o.key == "") {
		return errors.New("usage: enproxy-server [-tls-cert FILE -tls-key FILE] [flags]; see -help")
	}
	told := io.Discard
	if o.verbose {
		told = os.Stderr
	}
	golog.SetOutputs(told, told)

	listener, err := listen(o)
	if err != nil {
		return err
	}
	proxy := &enproxy.Proxy{Host: o.host, IdleTimeout: o.idle, Dial: dial}
	proxy.Start()
	server := &http.Server{Handler: proxy, ErrorLog: log.New(told, "", 0)}

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
	if err != nil {
		return nil, err
	}
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	return idletiming.Listener(listener, connectionIdle, func(net.Conn) {}), nil
}

func dial(addr string) (net.Conn, error) { return net.DialTimeout("tcp", addr, dialTimeout) }

// As in flashlight.
const (
	connectionIdle = 70 * time.Second
	dialTimeout    = 10 * time.Second
)
