// Package tls2014 limits TLS to what flashlight spoke in 2014, as far as Go still speaks it.
package tls2014

import "crypto/tls"

// Limit does so for either side.
func Limit(config *tls.Config) {
	config.MaxVersion, config.CipherSuites, config.CurvePreferences = tls.VersionTLS12, suites, curves
}

// Of flashlight's list, those that are still in Go. One is left with whoever wants an AEAD today, and for an RSA key alone.
var suites = []uint16{
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
	tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
	tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA,
	tls.TLS_RSA_WITH_AES_256_CBC_SHA,
	tls.TLS_RSA_WITH_AES_128_CBC_SHA,
	tls.TLS_RSA_WITH_RC4_128_SHA,
}

// All that a Go of then had.
var curves = []tls.CurveID{tls.CurveP256, tls.CurveP384, tls.CurveP521}
