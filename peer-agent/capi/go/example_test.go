package agent_test

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

	"peer-agent.example/agent"
)

// A give mode peer around a proxy that dials its destinations with a function.
func Example() {
	certificate, err := os.ReadFile("crt.pem")
	if err != nil {
		log.Fatal(err)
	}
	a, err := agent.Start(agent.Config{
		Attesters:      []string{"attester.example:7443"},
		RootKey:        "ed25519:rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa",
		IdentityFile:   "peer.key",
		Address:        "203.0.113.7:443",
		CertificatePEM: certificate,
		Software:       "my-peer 1.0",
	})
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()
	go func() {
		for standing := range a.Changes() {
			fmt.Println(standing)
		}
	}()

	dial := a.WrapDial(func(address string) (net.Conn, error) { return net.Dial("tcp", address) })
	var proxy http.Handler // such as &enproxy.Proxy{Dial: dial}
	_ = dial
	log.Fatal(http.ListenAndServeTLS(":443", "crt.pem", "key.pem", proxy))
}

// The peer's owner reads what to do, and says when it is done.
func ExampleAgent_Retest() {
	var a *agent.Agent // from agent.Start
	if standing := a.Standing(); standing.Reason != "" {
		fmt.Println(standing.Remedy)
		fmt.Print("Press Enter when that is done: ")
		_, _ = fmt.Scanln()
		if err := a.Retest(); err != nil {
			log.Print(err)
		}
	}
}

// A proxy whose connections come from a dialer with a context.
func ExampleAgent_WrapDialContext() {
	var a *agent.Agent // from agent.Start
	transport := &http.Transport{DialContext: a.WrapDialContext((&net.Dialer{}).DialContext)}
	_ = transport
}
