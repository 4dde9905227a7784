// Command givepeer is a complete give mode peer: the server of getlantern/enproxy over TLS with the agent inside. It is a
// template to copy; the lines that bundle the agent are marked with "agent:".
//
// It prints "listening <ip:port>", then what is so and what to do as a line whenever that changes. Enter asks for a probe soon;
// SIGINT and SIGTERM end it, with a goodbye.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/getlantern/enproxy"
	"github.com/getlantern/idletiming"

	"peer-agent.example/agent"
	"peer-agent.example/agent/cmd/global"
	"peer-agent.example/agent/cmd/tlskey"
)

func main() {
	var o options
	flag.StringVar(&o.listen, "listen", ":443", "serve at this `ip:port`")
	flag.StringVar(&o.public, "public", "", "the `ip:port` that clients reach this peer at; that of -listen by default")
	flag.StringVar(&o.state, "state", ".", "the `folder` of the TLS key, its certificate and the identity")
	flag.StringVar(&o.attester, "attester", "", "the attester's `host:port`; without it the peer serves, and nobody verifies it")
	flag.StringVar(&o.root, "root", "", "the attester's root `key`, ed25519:…")
	flag.StringVar(&o.bind, "bind", "", "the local `ip` that sessions and connections to destinations leave from")
	flag.BoolVar(&o.private, "allow-private", false, "let clients reach this machine and its network as well; for tests")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "givepeer:", err)
		os.Exit(1)
	}
}

type options struct {
	listen, public, state, attester, root, bind string
	private                                     bool
}

func serve(ctx context.Context, o options) error {
	certificate, err := tlskey.Load(o.state)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	defer listener.Close()

	// agent: start it, with what the peer is; a nil agent is one that does nothing.
	a, err := startAgent(o, listener.Addr().(*net.TCPAddr), certificate)
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
	// agent: whoever has mended something presses Enter.
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			_ = a.Retest()
		}
	}()

	// agent: lay it around the function that dials destinations.
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	if !o.private {
		dialer.Control = global.Only
	}
	if o.bind != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(o.bind)}
	}
	dial := a.WrapDial(func(address string) (net.Conn, error) { return dialer.Dial("tcp", address) })

	proxy := &enproxy.Proxy{Dial: dial, HostFn: func(*http.Request) string { return a.Standing().OwnName }}
	proxy.Start()
	server := &http.Server{Handler: proxy}
	secured := tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate.Pair}})
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(idletiming.Listener(secured, 70*time.Second, func(net.Conn) {})) }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		// agent: first the goodbye, so that nobody is sent here any more.
		err = a.Close()
	}
	server.Close()
	return err
}

func startAgent(o options, served *net.TCPAddr, certificate tlskey.Certificate) (*agent.Agent, error) {
	if o.attester == "" {
		return nil, nil
	}
	if o.public == "" {
		o.public = served.String()
	}
	return agent.Start(agent.Config{
		Attesters:      []string{o.attester},
		RootKey:        o.root,
		IdentityFile:   filepath.Join(o.state, "peer.key"),
		Address:        o.public,
		ListeningPort:  uint16(served.Port),
		Protocols:      agent.Enproxy | agent.EnproxyPath,
		CertificatePEM: certificate.PEM,
		BindAddress:    o.bind,
		Software:       "givepeer " + agent.Version(),
	})
}
