// Command connect-get fetches a URL through HTTP CONNECT, as the chained dialer of getlantern did from December 2014 on: over TLS
// without SNI, to a server whose leaf certificate is compared byte for byte with a known one, with a device id and any number of
// tokens. It is a stand-in: the module of the real dialer is not to be had (see README.md). Head and answer are written and read
// by net/http, as they were there, and what net/http has buffered behind the answer's head is thrown away, as it was there.
//
// It prints one JSON object a request on standard output, and exits with 0 only when each of them brought a complete answer
// with a 2xx status.
package main

import (
	"bufio"
	"bytes"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"

	"interop/internal/fetch"
)

func main() {
	var o options
	o.proxy.Flags()
	leaf := flag.String("leaf", "", "the proxy's certificate as a PEM `file`; plain TCP without it")
	flag.StringVar(&o.device, "device", "1234-5678-90", "the device's `id`")
	flag.Func("token", "a `token`; may be repeated, as clients of several servers send all that they have", func(token string) error {
		o.tokens = append(o.tokens, token)
		return nil
	})
	o.Flags()
	flag.Parse()
	if !o.proxy.Valid(*leaf != "") || !o.Valid() || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: connect-get -proxy IP:PORT -url URL [-leaf FILE [-tls12]] [flags]; see -help")
		os.Exit(2)
	}
	if *leaf != "" {
		text, err := os.ReadFile(*leaf)
		block, _ := pem.Decode(text)
		if err != nil || block == nil {
			fmt.Fprintf(os.Stderr, "connect-get: there is no certificate in %s: %v\n", *leaf, err)
			os.Exit(2)
		}
		o.leaf = block.Bytes
	}
	fetch.Tell("connect-get", o.All(o.open), fetch.Result.OK)
}

type options struct {
	fetch.What
	proxy  fetch.Proxy
	device string
	tokens []string
	leaf   []byte
}

// What fetches, through tunnels of its own.
func (o options) open() func() fetch.Result {
	client := o.Client(o.connect)
	return func() fetch.Result { return o.InTime(client) }
}

// A tunnel to a destination.
func (o options) connect(addr string) (net.Conn, error) {
	conn, err := o.proxy.Dial(o.known())
	if err != nil {
		return nil, err
	}
	if err := o.ask(conn, addr); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (o options) ask(conn net.Conn, addr string) error {
	request := &http.Request{
		Method: http.MethodConnect,
		URL:    &url.URL{Host: addr},
		Host:   addr,
		Header: http.Header{"X-Lantern-Device-Id": {o.device}},
	}
	if len(o.tokens) > 0 {
		request.Header["X-Lantern-Auth-Token"] = o.tokens
	}
	if err := request.Write(conn); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		return err
	}
	if response.StatusCode < 200 || response.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
		return fmt.Errorf("no tunnel: %s: %s", response.Status, text)
	}
	return nil
}

// What a certificate has to be, if anything is known of it.
func (o options) known() func([]byte) error {
	if o.leaf == nil {
		return nil
	}
	return func(certificate []byte) error {
		if !bytes.Equal(certificate, o.leaf) {
			return errors.New("the server shows another certificate than the known one")
		}
		return nil
	}
}
