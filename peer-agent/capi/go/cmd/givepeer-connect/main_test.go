package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"peer-agent.example/agent/cmd/internal/running"
)

func TestMain(m *testing.M) { running.Main(m, main) }

// HTTP/2 has no tunnels here, and is not offered. Nor is a volunteer told who asked for it.
func TestOnlyTheFirstHTTPIsOffered(t *testing.T) {
	peer := running.Start(t)
	if conn, err := tls.Dial("tcp", peer.Address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}); err == nil {
		t.Errorf("%q", conn.ConnectionState().NegotiatedProtocol)
		conn.Close()
	}
	conn := dial(t, peer.Address, "h2", "http/1.1")
	defer conn.Close()
	if spoken := conn.ConnectionState().NegotiatedProtocol; spoken != "http/1.1" {
		t.Errorf("%q", spoken)
	}
	if said := peer.Stop(t); said != "" {
		t.Error(said)
	}
}

// Whoever says nothing any more, in a request or after one, is not kept; with a token or without.
func TestSilentConnectionsAreClosed(t *testing.T) {
	peer := running.Start(t, "-token", "sekrit", "-idle", "1s")
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
		"GET / HT",
	} {
		conn := dial(t, peer.Address)
		fmt.Fprint(conn, request)
		answer, err := io.ReadAll(conn)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q is kept after %.40q", request, answer)
		}
		conn.Close()
	}
}

// Whoever asks and asks, and does not hear the answers.
func TestWhoeverDoesNotListenIsNotKept(t *testing.T) {
	peer := running.Start(t, "-idle", "1s")
	conn := dial(t, peer.Address)
	defer conn.Close()
	requests := strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1000)
	for {
		if _, err := fmt.Fprint(conn, requests); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("it is kept")
		} else if err != nil {
			break
		}
	}
}

// One address has a quarter of the connections.
func TestACrowdIsBounded(t *testing.T) {
	peer := running.Start(t, "-connections", "4")
	first := dial(t, peer.Address)
	if second, err := tls.Dial("tcp", peer.Address, &tls.Config{InsecureSkipVerify: true}); err == nil {
		second.Close()
		t.Error("a second connection of one address was served")
	}
	fmt.Fprint(first, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if answer, err := http.ReadResponse(bufio.NewReader(first), nil); err != nil || answer.StatusCode != http.StatusNotFound {
		t.Error(answer, err)
	}
	first.Close()
}

func TestItServesOnWhenNobodyReadsWhatItPrints(t *testing.T) {
	peer := running.StartUnread(t)
	// More than a pipe holds: it has printed a line before it reads this.
	if err := peer.Type(strings.Repeat("\n", 1<<20)); err != nil {
		t.Fatal(err)
	}
	peer.Stop(t)
}

func dial(t *testing.T, peer string, protocols ...string) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", peer, &tls.Config{InsecureSkipVerify: true, NextProtos: protocols})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn
}
