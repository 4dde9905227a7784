// Command givepeer is a complete give mode peer: the server of getlantern/enproxy over TLS with the agent inside. It is a
// template to copy; the lines that bundle the agent are marked with "agent:".
//
// It prints "listening <ip:port>", then what is so and what to do as a line whenever that changes. Enter asks for a probe soon;
// SIGINT and SIGTERM end it, with a goodbye.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/getlantern/enproxy"
	"github.com/getlantern/golog"
	"github.com/getlantern/idletiming"

	"peer-agent.example/agent"
	"peer-agent.example/agent/cmd/forgetting"
	"peer-agent.example/agent/cmd/global"
	"peer-agent.example/agent/cmd/owner"
	"peer-agent.example/agent/cmd/tlskey"
	"peer-agent.example/agent/cmd/turnstile"
)

func main() {
	var o options
	flag.StringVar(&o.listen, "listen", ":443", "serve at this `ip:port`")
	flag.StringVar(&o.public, "public", "", "the `ip:port` that clients reach this peer at; that of -listen by default")
	flag.StringVar(&o.state, "state", ".", "the `folder` of the TLS key, its certificate and the identity")
	flag.StringVar(&o.attester, "attester", "", "the attester's `host:port`; without it the peer serves, and nobody verifies it")
	flag.StringVar(&o.root, "root", "", "the attester's root `key`, ed25519:…")
	flag.StringVar(&o.bind, "bind", "", "the local `ip` that sessions and connections to destinations leave from")
	flag.DurationVar(&o.idle, "idle", 70*time.Second, "how long nothing may be heard on a connection or in a tunnel")
	flag.IntVar(&o.connections, "connections", 4096, "how many `connections` clients have at most, a quarter of them from one address")
	flag.BoolVar(&o.private, "allow-private", false, "let clients reach this machine and its network as well; for tests")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Whoever read what it prints may go away; it serves on.
	signal.Ignore(syscall.SIGPIPE)
	if err := serve(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "givepeer:", err)
		os.Exit(1)
	}
}

type options struct {
	listen, public, state, attester, root, bind string
	idle                                        time.Duration
	connections                                 int
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
	if o.connections < 1 {
		return fmt.Errorf("-connections is %d, and nobody could be served: give 1 or more", o.connections)
	}
	limited := turnstile.Listener(listener, o.connections, (o.connections+3)/4)

	// agent: start it, with what the peer is; a nil agent is one that does nothing.
	a, err := startAgent(o, listener.Addr().(*net.TCPAddr), certificate)
	if err != nil {
		return err
	}
	defer a.Close()
	fmt.Println("listening", listener.Addr())
	go owner.Tell(os.Stdout, a.Changes())
	// agent: whoever has mended something presses Enter.
	go owner.Hear(os.Stdin, a.Retest)

	// agent: lay it around the function that dials destinations.
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	if !o.private {
		dialer.Control = global.Except(o.public)
	}
	if o.bind != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(o.bind)}
	}
	dial := a.WrapDial(func(address string) (net.Conn, error) { return dialer.Dial("tcp", address) })

	// A volunteer's log must hold neither clients' addresses nor where they go.
	golog.SetOutputs(io.Discard, io.Discard)
	proxy := &enproxy.Proxy{Dial: dial, IdleTimeout: o.idle, HostFn: func(*http.Request) string { return a.Standing().OwnName }}
	server := &http.Server{
		Handler:           forgetting.Proxy(proxy),
		ReadHeaderTimeout: o.idle,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	secured := tls.NewListener(limited, &tls.Config{Certificates: []tls.Certificate{certificate.Pair}})
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(idletiming.Listener(secured, o.idle, func(net.Conn) {})) }()
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
