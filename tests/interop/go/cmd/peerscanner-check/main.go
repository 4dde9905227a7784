// Command peerscanner-check asks of a peer what peerscanner asked of each every 15 s: does it take a TCP connection, does a HEAD
// request come through it within 6 s, and does it call itself by its registered name?
//
// It does so with the real client of getlantern/enproxy, in the form of 2014 (in headers, streamed), over a fresh TLS connection
// to a bare IP address: an IP address is never sent as SNI, and no certificate is verified. What is asked for is an argument;
// peerscanner took one of three big sites by chance.
//
// It prints one JSON object a check on standard output, and exits with 0 only when the peer passed each of them.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/getlantern/enproxy"
	"github.com/getlantern/golog"

	"interop/internal/fetch"
	"interop/internal/headers"
)

func main() {
	var o options
	flag.StringVar(&o.peer, "peer", "", "the peer's `ip:port`")
	flag.StringVar(&o.name, "name", "", "the `name` that it is registered by")
	flag.StringVar(&o.site, "site", "", "the `URL` to ask for through it")
	flag.IntVar(&o.repeat, "repeat", 1, "check it `n` times")
	flag.IntVar(&o.parallel, "parallel", 1, "keep `n` of these checks under way at a time")
	flag.Parse()
	ip, _, err := net.SplitHostPort(o.peer)
	if err != nil || o.name == "" || o.site == "" || o.repeat < 1 || o.parallel < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: peerscanner-check -peer IP:PORT -name NAME -site URL [flags]; see -help")
		os.Exit(2)
	}
	o.ip = ip
	// The package writes its log to both outputs; what goes wrong is in the result.
	golog.SetOutputs(io.Discard, io.Discard)
	fetch.Tell("peerscanner-check", fetch.Times(o.repeat, o.parallel, o.check), func(r result) bool { return r.Online })
}

type options struct {
	peer, ip, name, site string
	repeat, parallel     int
}

// What came of one check.
type result struct {
	// Would it stay in the rotation?
	Online bool `json:"online"`
	// peerscanner told a peer so, whose user could then forward the port.
	ConnectionRefused bool `json:"connection_refused"`
	// The inner status; 0 when no answer came.
	Status int `json:"status"`
	// What the peer called itself.
	ReportedHost string `json:"reported_host"`
	// From before the first connection until the answer was there.
	Micros int64  `json:"micros"`
	Error  string `json:"error"`
}

func (o options) check() (r result) {
	began := time.Now()
	err := o.through(&r)
	r.Micros = time.Since(began).Microseconds()
	switch {
	case err != nil:
		r.Error = err.Error()
	case r.Status != http.StatusOK && r.Status != http.StatusMovedPermanently:
		r.Error = fmt.Sprintf("unexpected status %d", r.Status)
	case r.ReportedHost != o.name:
		r.Error = fmt.Sprintf("it is registered as %q and calls itself %q", o.name, r.ReportedHost)
	default:
		r.Online = true
	}
	return r
}

func (o options) through(r *result) error {
	// Plain TCP first: what goes wrong there is not told by what is around the second connection.
	plain, err := net.DialTimeout("tcp", o.peer, dialTimeout)
	if err != nil {
		r.ConnectionRefused = strings.Contains(err.Error(), "connection refused")
		return err
	}
	plain.Close()

	var mutex sync.Mutex
	config := &enproxy.Config{
		DialProxy: o.dial,
		NewRequest: func(_, path, method string, body io.Reader) (*http.Request, error) {
			// The host is the bare IP address, whatever the peer calls itself.
			return headers.Request(o.ip, path, method, body)
		},
		OnFirstResponse: func(response *http.Response) {
			mutex.Lock()
			defer mutex.Unlock()
			r.ReportedHost = response.Header.Get(enproxy.X_ENPROXY_PROXY_HOST)
		},
	}
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			Dial:              func(_, addr string) (net.Conn, error) { return enproxy.Dial(addr, config) },
		},
		Timeout: requestTimeout,
	}
	response, err := client.Head(o.site)
	mutex.Lock()
	defer mutex.Unlock()
	if err != nil {
		return err
	}
	response.Body.Close()
	r.Status = response.StatusCode
	return nil
}

func (o options) dial(string) (net.Conn, error) {
	return tls.DialWithDialer(&net.Dialer{Timeout: dialTimeout}, "tcp", o.peer, &tls.Config{
		InsecureSkipVerify: true,
		// A cache that is new with each connection, as there, resumes nothing.
		ClientSessionCache: tls.NewLRUClientSessionCache(1000),
	})
}

// As in peerscanner.
const (
	dialTimeout    = 3 * time.Second
	requestTimeout = 6 * time.Second
)
