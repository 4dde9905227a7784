// Command enproxy-get fetches a URL with the client of getlantern/enproxy: each request opens a tunnel of its own through the
// proxy and is an ordinary GET, or POST, inside. With -as-2014-08 the client is a stand-in (internal/early).
//
// It prints one JSON object a request on standard output, and exits with 0 only when each of them brought a complete answer
// with a 2xx status.
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/getlantern/enproxy"
	"github.com/getlantern/golog"

	"interop/internal/early"
	"interop/internal/fetch"
	"interop/internal/headers"
)

func main() {
	var o options
	flag.BoolVar(&o.tls, "tls", false, "speak TLS with it, without SNI; any certificate will do")
	flag.StringVar(&o.host, "host", "", "the `name` to ask for until the proxy names itself; its address by default")
	flag.BoolVar(&o.buffer, "buffer", false, "send whole bodies of known length instead of streaming chunks")
	flag.BoolVar(&o.headers, "headers", false, "name tunnel and destination in headers, as in 2014, instead of in the path")
	flag.BoolVar(&o.early, "as-2014-08", false, "do as the client of August 2014, which named tunnel and destination in headers and buffered")
	o.proxy.Flags()
	o.Flags()
	flag.Parse()
	if !o.proxy.Valid(o.tls) || !o.Valid() || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: enproxy-get -proxy IP:PORT -url URL [-tls [-tls12]] [flags]; see -help")
		os.Exit(2)
	}
	// The package writes its log to both outputs; what goes wrong is in the result.
	golog.SetOutputs(io.Discard, io.Discard)

	fetch.Tell("enproxy-get", o.All(o.open), fetch.Result.OK)
}

type options struct {
	fetch.What
	proxy                       fetch.Proxy
	host                        string
	tls, buffer, headers, early bool
}

// What fetches, through tunnels of its own.
func (o options) open() func() fetch.Result {
	var mutex sync.Mutex
	var named string
	config := &enproxy.Config{
		DialProxy:      o.dial,
		NewRequest:     o.request,
		BufferRequests: o.buffer,
		OnFirstResponse: func(response *http.Response) {
			mutex.Lock()
			defer mutex.Unlock()
			named = response.Header.Get(enproxy.X_ENPROXY_PROXY_HOST)
		},
	}
	client := o.Client(func(addr string) (net.Conn, error) {
		if o.early {
			return early.Dial(addr, config)
		}
		return enproxy.Dial(addr, config)
	})
	return func() fetch.Result {
		r := o.InTime(client)
		mutex.Lock()
		defer mutex.Unlock()
		r.ProxyHost = named
		return r
	}
}

func (o options) dial(string) (net.Conn, error) {
	if !o.tls {
		return o.proxy.Dial(nil)
	}
	return o.proxy.Dial(func([]byte) error { return nil })
}

// A request of the client to the proxy. path is "<id>/<destination>/<operation>"; host is what the proxy called itself, or
// nothing before it did.
func (o options) request(host, path, method string, body io.Reader) (*http.Request, error) {
	if host == "" {
		host = o.host
	}
	if host == "" {
		host = o.proxy.Addr
	}
	if !o.headers && !o.early {
		return http.NewRequest(method, "http://"+host+"/"+path+"/", body)
	}
	return headers.Request(host, path, method, body)
}
