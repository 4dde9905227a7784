package fetch

import (
	"crypto/tls"
	"flag"
	"net"
	"time"

	"interop/internal/tls2014"
)

// Proxy is whom the programs ask.
type Proxy struct {
	Addr  string
	tls12 bool
}

// Flags for all of it.
func (p *Proxy) Flags() {
	flag.StringVar(&p.Addr, "proxy", "", "the proxy's `ip:port`")
	flag.BoolVar(&p.tls12, "tls12", false, "speak TLS 1.2 with the cipher suites of 2014 alone, as flashlight did")
}

// Valid tells whether the flags make sense, by TLS or without.
func (p *Proxy) Valid(secured bool) bool { return p.Addr != "" && (secured || !p.tls12) }

// Dial connects to it, and speaks TLS with it if known is there, which is asked of the certificate that it shows. No ServerName, so
// no SNI: flashlight sends none.
func (p *Proxy) Dial(known func(certificate []byte) error) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", p.Addr, dialTimeout)
	if err != nil || known == nil {
		return conn, err
	}
	config := &tls.Config{InsecureSkipVerify: true}
	if p.tls12 {
		tls2014.Limit(config)
	}
	secured := tls.Client(conn, config)
	if err = secured.Handshake(); err == nil {
		err = known(secured.ConnectionState().PeerCertificates[0].Raw)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}

// As in flashlight.
const dialTimeout = 20 * time.Second
