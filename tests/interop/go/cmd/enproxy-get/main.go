// Command enproxy-get fetches a URL with the client of getlantern/enproxy: each request opens a tunnel of its own through the
// proxy and is an ordinary GET, or POST, inside.
//
// It prints one JSON object a request on standard output, and exits with 0 only when each of them brought a complete answer
// with a 2xx status.
package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
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
)

func main() {
	var o options
	flag.StringVar(&o.proxy, "proxy", "", "the proxy's `ip:port`")
	flag.BoolVar(&o.tls, "tls", false, "speak TLS with it, without SNI; any certificate will do")
	flag.StringVar(&o.host, "host", "", "the `name` to ask for until the proxy names itself; its address by default")
	flag.BoolVar(&o.buffer, "buffer", false, "send whole bodies of known length instead of streaming chunks")
	flag.BoolVar(&o.headers, "headers", false, "name tunnel and destination in headers, as in 2014, instead of in the path")
	flag.StringVar(&o.url, "url", "", "what to fetch")
	flag.StringVar(&o.post, "post", "", "post this `file` there instead of getting")
	flag.IntVar(&o.repeat, "repeat", 1, "fetch it `n` times")
	flag.IntVar(&o.parallel, "parallel", 1, "keep `n` of these requests under way at a time")
	flag.DurationVar(&o.timeout, "timeout", 30*time.Second, "give up on a request after this `duration`")
	flag.Parse()
	if o.proxy == "" || o.url == "" || o.repeat < 1 || o.parallel < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: enproxy-get -proxy IP:PORT -url URL [flags]; see -help")
		os.Exit(2)
	}
	// The package writes its log to both outputs; what goes wrong is in the result.
	golog.SetOutputs(io.Discard, io.Discard)

	out, ok := json.NewEncoder(os.Stdout), true
	for result := range o.getAll() {
		ok = ok && result.ok()
		if err := out.Encode(result); err != nil {
			fmt.Fprintln(os.Stderr, "enproxy-get:", err)
			os.Exit(1)
		}
	}
	if !ok {
		os.Exit(1)
	}
}

type options struct {
	proxy, host, url, post string
	tls, buffer, headers   bool
	repeat, parallel       int
	timeout                time.Duration
}

// What came of one request.
type result struct {
	// The inner status; 0 when no answer came.
	Status int `json:"status"`
	// Length and digest of as much of the body as came.
	Length int64  `json:"length"`
	SHA256 string `json:"sha256"`
	// What the proxy called itself in its first answer.
	ProxyHost string `json:"proxy_host"`
	// From before the tunnel was opened until the answer was complete.
	Micros int64  `json:"micros"`
	Error  string `json:"error"`
}

func (r result) ok() bool { return r.Error == "" && r.Status >= 200 && r.Status < 300 }

// Results come in the order in which they are there.
func (o options) getAll() <-chan result {
	turns, results := make(chan struct{}), make(chan result)
	var workers sync.WaitGroup
	for i := 0; i < o.parallel; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for range turns {
				results <- o.getInTime()
			}
		}()
	}
	go func() {
		for i := 0; i < o.repeat; i++ {
			turns <- struct{}{}
		}
		close(turns)
		workers.Wait()
		close(results)
	}()
	return results
}

// The package's connections have no deadlines, so the time limit has to be kept from outside.
func (o options) getInTime() result {
	done := make(chan result, 1)
	began := time.Now()
	go func() { done <- o.get() }()
	var r result
	select {
	case r = <-done:
	case <-time.After(o.timeout):
		r.Error = fmt.Sprintf("no complete answer within %v", o.timeout)
	}
	r.Micros = time.Since(began).Microseconds()
	return r
}

func (o options) get() (r result) {
	named := make(chan string, 1)
	config := &enproxy.Config{
		DialProxy:      o.dial,
		NewRequest:     o.request,
		BufferRequests: o.buffer,
		OnFirstResponse: func(response *http.Response) {
			named <- response.Header.Get(enproxy.X_ENPROXY_PROXY_HOST)
		},
	}
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives:  true,
			DisableCompression: true,
			Dial:               func(_, addr string) (net.Conn, error) { return enproxy.Dial(addr, config) },
		},
		// A redirection is an answer like any other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := o.ask(client)
	if err != nil {
		r.Error = err.Error()
		return r
	}
	defer response.Body.Close()
	digest := sha256.New()
	r.Status = response.StatusCode
	r.Length, err = io.Copy(digest, response.Body)
	r.SHA256 = hex.EncodeToString(digest.Sum(nil))
	if err != nil {
		r.Error = err.Error()
	}
	r.ProxyHost = <-named
	return r
}

func (o options) ask(client *http.Client) (*http.Response, error) {
	if o.post == "" {
		return client.Get(o.url)
	}
	body, err := os.ReadFile(o.post)
	if err != nil {
		return nil, err
	}
	return client.Post(o.url, "application/octet-stream", bytes.NewReader(body))
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
	parts := strings.Split(path, "/")
	if len(parts) != 3 {
		return nil, errors.New("the package's paths have changed: " + path)
	}
	request, err := http.NewRequest(method, "http://"+host+"/", body)
	if err != nil {
		return nil, err
	}
	request.Header.Set(enproxy.X_ENPROXY_ID, parts[0])
	request.Header.Set(enproxy.X_ENPROXY_DEST_ADDR, parts[1])
	request.Header.Set(enproxy.X_ENPROXY_OP, parts[2])
	return request, nil
}

// As in flashlight.
const dialTimeout = 20 * time.Second
