// Command http-proxy-server runs the server of getlantern/http-proxy, with the token filter of getlantern/http-proxy-lantern in
// front as that program has it: on the first request of a connection, and strangers see an Apache.
//
// Over TLS its certificate is made by getlantern/keyman, as a real peer's is, when the named files do not exist.
//
// The last line on standard output is "listening <ip:port>"; before it keyman may tell what it made. It ends when standard input
// ends, so that it cannot outlive the test that started it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/getlantern/golog"
	"github.com/getlantern/http-proxy-lantern/mimic"
	"github.com/getlantern/http-proxy-lantern/tokenfilter"
	"github.com/getlantern/http-proxy/listeners"
	"github.com/getlantern/http-proxy/proxyfilters"
	"github.com/getlantern/http-proxy/server"
	"github.com/getlantern/proxy"
	"github.com/getlantern/proxy/filters"
)

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:0", "listen on this `ip:port`")
	flag.StringVar(&o.cert, "tls-cert", "", "certificate as a PEM `file`, made if it does not exist; plain TCP without it")
	flag.StringVar(&o.key, "tls-key", "", "its key as a PEM `file`, made if it does not exist")
	flag.StringVar(&o.token, "token", "", "the `token` that clients must know; none by default")
	flag.BoolVar(&o.blockLocal, "block-local", false, "refuse destinations on this machine, as a real peer does")
	flag.DurationVar(&o.idle, "idle", 70*time.Second, "close connections that were silent for this `duration`; as in flashlight")
	flag.BoolVar(&o.verbose, "verbose", false, "show the packages' own log on standard error")
	flag.Parse()
	if err := serve(o); err != nil {
		fmt.Fprintln(os.Stderr, "http-proxy-server:", err)
		os.Exit(1)
	}
}

type options struct {
	addr, cert, key, token string
	idle                   time.Duration
	blockLocal, verbose    bool
}

func serve(o options) error {
	if flag.NArg() > 0 || (o.cert == "") != (o.key == "") {
		return errors.New("usage: http-proxy-server [-tls-cert FILE -tls-key FILE] [flags]; see -help")
	}
	told := io.Discard
	if o.verbose {
		told = os.Stderr
	}
	golog.SetOutputs(told, told)

	var chain filters.Chain
	if o.token != "" {
		chain = chain.Append(proxy.OnFirstOnly(tokenfilter.New(o.token)))
	}
	if o.blockLocal {
		chain = chain.Append(proxyfilters.BlockLocal(nil))
	}
	peer := server.New(&server.Opts{IdleTimeout: o.idle, Filter: chain})
	peer.AddListenerWrappers(func(listener net.Listener) net.Listener {
		return listeners.NewIdleConnListener(listener, o.idle)
	})

	ended := make(chan error, 2)
	listening := func(addr string) {
		mimic.SetServerAddr(addr)
		fmt.Println("listening", addr)
		go func() {
			_, err := io.Copy(io.Discard, os.Stdin)
			ended <- err
		}()
	}
	go func() {
		if o.cert == "" {
			ended <- peer.ListenAndServeHTTP(o.addr, listening)
		} else {
			ended <- peer.ListenAndServeHTTPS(o.addr, o.key, o.cert, listening)
		}
	}()
	return <-ended
}
