package global

import (
	"net"
	"testing"
)

func TestOnlyPublicAddressesAreDialled(t *testing.T) {
	for address, public := range map[string]bool{
		"8.8.8.8:53":              true,
		"[2606:4700::1111]:443":   true,
		"127.0.0.1:80":            false,
		"10.0.0.1:80":             false,
		"172.16.9.9:80":           false,
		"192.168.1.1:80":          false,
		"169.254.169.254:80":      false,
		"100.64.0.1:80":           false,
		"0.0.0.0:80":              false,
		"0.1.2.3:80":              false,
		"224.0.0.1:80":            false,
		"255.255.255.255:80":      false,
		"[::1]:80":                false,
		"[::]:80":                 false,
		"[fe80::1]:80":            false,
		"[fd00::1]:80":            false,
		"[::ffff:127.0.0.1]:80":   false,
		"[::ffff:192.168.1.1]:80": false,
		"198.18.0.1:80":           false,
		"192.0.0.8:80":            false,
		"203.0.113.9:80":          false,
		"241.0.0.1:80":            false,
		"[64:ff9b::7f00:1]:80":    false,
		"[2002:7f00:1::1]:80":     false,
		"[2001:0:1::1]:80":        false,
		"no address":              false,
	} {
		if err := Only("tcp", address, nil); (err == nil) != public {
			t.Errorf("%s: %v", address, err)
		}
	}
	if len(special) != 16 {
		t.Errorf("%d networks can be read", len(special))
	}
	// By name as well: what counts is where it led.
	dialer := net.Dialer{Control: Only}
	if conn, err := dialer.Dial("tcp", "localhost:1"); err == nil {
		conn.Close()
		t.Error("localhost was dialled")
	} else if operr, ok := err.(*net.OpError); !ok || operr.Op != "dial" {
		t.Error(err)
	}
}
