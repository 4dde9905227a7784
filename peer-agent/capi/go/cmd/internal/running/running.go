// Package running runs a peer's main for the tests, in a process of its own: the test's program once more.
package running

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Main is for TestMain: main in that process, the tests in the first.
func Main(m *testing.M, main func()) {
	if os.Getenv(marker) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// Peer is such a process. It ends with the test.
type Peer struct {
	// Address is where it listens; unknown when nobody reads what it prints.
	Address string
	stdin   io.WriteCloser
	process *exec.Cmd
	// What it printed after its first line.
	printed chan string
	stderr  bytes.Buffer
}

// Start starts one with an empty state folder, and waits until it listens.
func Start(t *testing.T, flags ...string) *Peer {
	t.Helper()
	peer := prepare(t, flags)
	stdout, err := peer.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	peer.start(t)
	lines := bufio.NewReader(stdout)
	first, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	peer.Address = strings.TrimSpace(strings.TrimPrefix(first, "listening "))
	peer.printed = make(chan string, 1)
	go func() {
		rest, _ := io.ReadAll(lines)
		peer.printed <- string(rest)
	}()
	return peer
}

// StartUnread is the same where whoever should read what it prints has gone.
func StartUnread(t *testing.T, flags ...string) *Peer {
	t.Helper()
	peer := prepare(t, flags)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	defer writer.Close()
	peer.process.Stdout = writer
	peer.start(t)
	return peer
}

// Type has the owner type something. It returns once the peer has read nearly all of that.
func (p *Peer) Type(text string) error {
	_, err := io.WriteString(p.stdin, text)
	return err
}

// Stop has it end as its owner would, and returns all that it printed but for the first line.
func (p *Peer) Stop(t *testing.T) string {
	t.Helper()
	if err := p.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	printed := ""
	if p.printed != nil {
		printed = <-p.printed
	}
	if err := p.process.Wait(); err != nil {
		t.Fatalf("%v: %s", err, p.stderr.String())
	}
	return printed + p.stderr.String()
}

func prepare(t *testing.T, flags []string) *Peer {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	peer := &Peer{process: exec.Command(program, append([]string{"-listen", "127.0.0.1:0", "-state", t.TempDir()}, flags...)...)}
	peer.process.Env = append(os.Environ(), marker+"=1")
	peer.process.Stderr = &peer.stderr
	if peer.stdin, err = peer.process.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	return peer
}

func (p *Peer) start(t *testing.T) {
	t.Helper()
	if err := p.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.process.Process.Kill()
		_ = p.process.Wait()
	})
}

const marker = "PEER_OF_A_TEST"
