// Command testpeer is a peer for the tests: givepeer's server and agent, but a proxy that drops each n-th stream if it is told to, and
// whose owner types orders, a line each: pause, resume, close.
package main

import (
	"bufio"
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/getlantern/enproxy"

	"peer-agent.example/agent"
	"peer-agent.example/agent/cmd/tlskey"
)

func main() {
	listen := flag.String("listen", "", "serve at this `ip:port`")
	state := flag.String("state", ".", "the `folder` of keys")
	attester := flag.String("attester", "", "the attester's `host:port`")
	root := flag.String("root", "", "the attester's root `key`")
	bind := flag.String("bind", "", "the local `ip` that everything leaves from")
	drop := flag.Int64("drop", 0, "drop each `n`-th stream, if it is not 0")
	flag.Parse()
	if err := serve(*listen, *state, *attester, *root, *bind, *drop); err != nil {
		fmt.Fprintln(os.Stderr, "testpeer:", err)
		os.Exit(1)
	}
}

func serve(listen, state, attester, root, bind string, drop int64) error {
	certificate, err := tlskey.Load(state)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	a, err := agent.Start(agent.Config{
		Attesters:      []string{attester},
		RootKey:        root,
		IdentityFile:   filepath.Join(state, "peer.key"),
		Address:        listen,
		Protocols:      agent.Enproxy,
		CertificatePEM: certificate.PEM,
		BindAddress:    bind,
	})
	if err != nil {
		return err
	}
	defer a.Close()
	fmt.Println("listening", listener.Addr())
	go func() {
		for standing := range a.Changes() {
			fmt.Println(standing)
		}
	}()
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			if err := obey(a, lines.Text()); err != nil {
				fmt.Println(err)
			}
		}
	}()

	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(bind)}}
	var streams int64
	dial := a.WrapDial(func(address string) (net.Conn, error) {
		conn, err := dialer.Dial("tcp", address)
		if err == nil && drop != 0 && atomic.AddInt64(&streams, 1)%drop == 0 {
			conn.Close()
		}
		return conn, err
	})
	proxy := &enproxy.Proxy{Dial: dial}
	proxy.Start()
	config := &tls.Config{Certificates: []tls.Certificate{certificate.Pair}}
	return http.Serve(tls.NewListener(listener, config), proxy)
}

func obey(a *agent.Agent, order string) error {
	switch order {
	case "pause":
		return a.Pause()
	case "resume":
		return a.Resume()
	case "close":
		return a.Close()
	}
	return fmt.Errorf("no order is called %q", order)
}
