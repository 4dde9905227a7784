// Command givepeer-connect is a complete give mode peer for CONNECT clients: net/http over TLS, behind a token, with the agent inside.
// It is a template to copy; the lines that bundle the agent are marked with "agent:".
//
// It prints "listening <ip:port>", then what is so and what to do as a line whenever that changes. Enter asks for a probe soon;
// SIGINT and SIGTERM end it, with a goodbye.
package main

import (
	"context"
	"crypto/tls"
	"errors"
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

	"peer-agent.example/agent"
	"peer-agent.example/agent/cmd/connectproxy"
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
	flag.StringVar(&o.token, "token", "", "what clients must send as X-LANTERN-AUTH-TOKEN; without it anyone is served")
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
		fmt.Fprintln(os.Stderr, "givepeer-connect:", err)
		os.Exit(1)
	}
}

type options struct {
	listen, public, state, token, attester, root, bind string
	idle                                               time.Duration
	connections                                        int
	private                                            bool
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
	if ip := net.ParseIP(o.bind); ip != nil {
		dialer.LocalAddr = &net.TCPAddr{IP: ip}
	}
	proxy := connectproxy.Proxy{Token: o.token, Dial: a.WrapDialContext(dialer.DialContext), Idle: o.idle}

	server := &http.Server{
		Handler:           proxy,
		ReadHeaderTimeout: o.idle,
		IdleTimeout:       o.idle,
		// Of what is no tunnel; to dial may take a while.
		ReadTimeout:    2 * o.idle,
		WriteTimeout:   2 * o.idle,
		MaxHeaderBytes: 16 << 10,
		// HTTP/2 has no tunnels that net/http could hand over.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		// A volunteer's log must hold no clients' addresses.
		ErrorLog:  log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate.Pair}, NextProtos: []string{"http/1.1"}},
	}
	go func() {
		<-ctx.Done()
		// agent: first the goodbye, so that nobody is sent here any more.
		_ = a.Close()
		_ = server.Close()
	}()
	if err := server.ServeTLS(limited, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func startAgent(o options, served *net.TCPAddr, certificate tlskey.Certificate) (*agent.Agent, error) {
	if o.attester == "" {
		return nil, nil
	} else if o.public == "" {
		o.public = served.String()
	}
	return agent.Start(agent.Config{
		Attesters:      []string{o.attester},
		RootKey:        o.root,
		IdentityFile:   filepath.Join(o.state, "peer.key"),
		Address:        o.public,
		ListeningPort:  uint16(served.Port),
		Protocols:      agent.Connect,
		CertificatePEM: certificate.PEM,
		ConnectToken:   o.token,
		BindAddress:    o.bind,
		Software:       "givepeer-connect " + agent.Version(),
	})
}
