// Command enproxy-server runs the server of getlantern/enproxy the way flashlight's give mode runs it: as the handler of an
// HTTP server without time limits, over TLS, with idle connections closed after 70 s. (The package's own Proxy.Serve closes
// a connection after 10 s, so that a client never sees an empty read's answer.)
//
// With -as-2014 it is a stand-in for the servers of 2014 and 2015: the same package behind what differed there (as2014.go).
package main

import (
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/getlantern/enproxy"
	"github.com/getlantern/golog"
	"github.com/getlantern/idletiming"

	"interop/internal/serving"
)

func main() {
	var where serving.Where
	where.Flags()
	host := flag.String("host", "", "the `name` told in X-Enproxy-Proxy-Host")
	idle := flag.Duration("idle", 0, "forget silent tunnels after this `duration`; the package's default is 70s")
	old := flag.Bool("as-2014", false, "answer as the servers of 2014 and 2015")
	verbose := flag.Bool("verbose", false, "show the package's own log on standard error")
	where.Run("enproxy-server", func() (http.Handler, io.Writer) {
		told := io.Discard
		if *verbose {
			told = os.Stderr
		}
		golog.SetOutputs(told, told)
		proxy := &enproxy.Proxy{Host: *host, IdleTimeout: *idle, Dial: dial}
		proxy.Start()
		if *old {
			return as2014{proxy}, told
		}
		return proxy, told
	}, func(listener net.Listener) net.Listener {
		return idletiming.Listener(listener, connectionIdle, func(net.Conn) {})
	})
}

func dial(addr string) (net.Conn, error) { return net.DialTimeout("tcp", addr, dialTimeout) }

// As in flashlight.
const (
	connectionIdle = 70 * time.Second
	dialTimeout    = 10 * time.Second
)
