// Command enproxy-get fetches a URL with the client of getlantern/enproxy: each request opens a tunnel of its own through the
// proxy and is an ordinary GET, or POST, inside.
//
// It prints one JSON object a request on standard output, and exits with 0 only when each of them brought a complete answer
// with a 2xx status.
package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/getlantern/enproxy"
	"github.com/getlantern/golog"

	"interop/internal/fetch"
	"interop/internal/headers"
)

func main() {
	var o options
	flag.StringVar(&o.proxy, "proxy", "", "the proxy's `ip:port`")
	flag.BoolVar(&o.tls, "tls", false, "speak TLS with it, without SNI; any certificate will do")
	flag.StringVar(&o.host, "host", "", "the `name` to ask for until the proxy names itself; its address by default")
	flag.BoolVar(&o.buffer, "buffer", false, "send whole bodies of known length instead of streaming chunks")
	flag.BoolVar(&o.headers, "headers", false, "name tunnel and destination in headers, as in 2014, instead of in the path")
	flag.BoolVar(&o.again, "again", false, "fetch once more, through the same tunnel, for each line on standard input")
	o.Flags()
	flag.Parse()
	if o.proxy == "" || !o.Valid() || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: enproxy-get -proxy IP:PORT -url URL [flags]; see -help")
		os.Exit(2)
	}
	// The package writes its log to both outputs; what goes wrong is in the result.
	golog.SetOutputs(io.Discard, io.Discard)

	fetch.Tell("enproxy-get", o.getAll(), fetch.Result.OK)
}

type options struct {
	fetch.What
	proxy, host                 string
	tls, buffer, headers, again bool
}

// A client that opens tunnels, and what the proxy called itself.
type tunnel struct {
	*http.Client
	mutex sync.Mutex
	named string
	used  bool
}

func (o options) tunnel() *tunnel {
	t := &tunnel{}
	config := &enproxy.Config{
		DialProxy:      o.dial,
		NewRequest:     o.request,
		BufferRequests: o.buffer,
		OnFirstResponse: func(response *http.Response) {
			t.mutex.Lock()
			defer t.mutex.Unlock()
			t.named = response.Header.Get(enproxy.X_ENPROXY_PROXY_HOST)
		},
	}
	t.Client = &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives:  !o.again,
			DisableCompression: true,
			Dial: func(_, addr string) (net.Conn, error) {
				if o.again && t.used {
					return nil, errors.New("the tunnel did not live on")
				}
				t.used = true
				return enproxy.Dial(addr, config)
			},
		},
		// A redirection is an answer like any other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return t
}

func (o options) get(t *tunnel) fetch.Result {
	r := o.InTime(t.Client)
	t.mutex.Lock()
	defer t.mutex.Unlock()
	r.ProxyHost = t.named
	return r
}

func (o options) getAll() <-chan fetch.Result {
	if !o.again {
		return fetch.Times(o.Repeat, o.Parallel, func() fetch.Result { return o.get(o.tunnel()) })
	}
	results := make(chan fetch.Result)
	go func() {
		defer close(results)
		t := o.tunnel()
		results <- o.get(t)
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			results <- o.get(t)
		}
	}()
	return results
}

func (o options) dial(string) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", o.proxy, dialTimeout)
	if err != nil || !o.tls {
		return conn, err
	}
	// No ServerName, so no SNI: flashlight sends none.
	secured := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	if err := secured.Handshake(); err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}

// A request of the client to the proxy. path is "<id>/<destination>/<operation>"; host is what the proxy called itself, or
// nothing before it did.
func (o options) request(host, path, method string, body io.Reader) (*http.Request, error) {
	if host == "" {
		host = o.host
	}
	if host == "" {
		host = o.proxy
	}
	if !o.headers {
		return http.NewRequest(method, "http://"+host+"/"+path+"/", body)
	}
	return headers.Request(host, path, method, body)
}

// As in flashlight.
const dialTimeout = 20 * time.Second
