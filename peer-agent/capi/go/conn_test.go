package agent

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A note is what a connection told of itself.
type note struct {
	mu    sync.Mutex
	told  []string
	wants int // pieces, until nothing more is wanted
}

func (n *note) add(what string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, what)
	n.wants--
	return n.wants > 0
}

func (n *note) up(bytes []byte) bool   { return n.add("up " + string(bytes)) }
func (n *note) down(bytes []byte) bool { return n.add("down " + string(bytes)) }
func (n *note) eof()                   { n.add("eof") }
func (n *note) failed()                { n.add("failed") }
func (n *note) close()                 { n.add("close") }

func (n *note) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.told, ", ")
}

func (n *note) expect(t *testing.T, told string) {
	t.Helper()
	if n.String() != told {
		t.Errorf("told %q, not %q", n, told)
	}
}

// A script is a connection that does what it is told to.
type script struct {
	net.Conn
	reads  []answer
	writes []outcome
	// Where a send is told, if anywhere.
	told *note
}

type outcome struct {
	sent int
	err  error
}

type answer struct {
	text string
	err  error
}

func (s *script) Read(into []byte) (int, error) {
	next := s.reads[0]
	s.reads = s.reads[1:]
	return copy(into, next.text), next.err
}

func (s *script) Write(bytes []byte) (int, error) {
	next := outcome{len(bytes), nil}
	if len(s.writes) > 0 {
		next, s.writes = s.writes[0], s.writes[1:]
	}
	if s.told != nil {
		s.told.add(fmt.Sprintf("sent %s", bytes[:next.sent]))
	}
	return next.sent, next.err
}

func (s *script) Close() error { return nil }

func TestWhatGoesThroughIsTold(t *testing.T) {
	told := &note{wants: 100}
	conn := watched(&script{reads: []answer{{"bo", nil}, {"", os.ErrDeadlineExceeded}, {"dy", io.EOF}, {"", io.EOF}}}, told)
	buffer := make([]byte, 16)
	if n, err := conn.Write([]byte("request")); n != 7 || err != nil {
		t.Error(n, err)
	}
	for _, wanted := range []string{"2 <nil>", "0 i/o timeout", "2 EOF", "0 EOF"} {
		n, err := conn.Read(buffer)
		if found := fmt.Sprint(n, err); found != wanted {
			t.Errorf("%s, not %s", found, wanted)
		}
	}
	conn.Close()
	// A deadline is no end, and an end is told once.
	told.expect(t, "up request, down bo, down dy, eof, close")
}

// ownDeadline is a host's own kind of timeout.
type ownDeadline struct{}

func (ownDeadline) Error() string   { return "idle for too long" }
func (ownDeadline) Timeout() bool   { return true }
func (ownDeadline) Temporary() bool { return true }

func TestFailuresAreToldAndTheHostsOwnCloseIsNone(t *testing.T) {
	broken := errors.New("connection reset by peer")
	for _, c := range []struct {
		conn *script
		told string
	}{
		{&script{reads: []answer{{"x", broken}}}, "down x, failed, close"},
		{&script{reads: []answer{{"", net.ErrClosed}}}, "close"},
		{&script{reads: []answer{{"", &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ETIMEDOUT)}}}}, "failed, close"},
		{&script{reads: []answer{{"", &net.OpError{Op: "read", Err: net.ErrClosed}}}}, "close"},
		{&script{reads: []answer{{"", io.ErrClosedPipe}}}, "close"},
		{&script{reads: []answer{{"", ownDeadline{}}}}, "close"},
	} {
		told := &note{wants: 100}
		conn := watched(c.conn, told)
		_, _ = conn.Read(make([]byte, 4))
		conn.Close()
		told.expect(t, c.told)
	}
	told := &note{wants: 100}
	conn := watched(&script{writes: []outcome{{1, broken}, {0, broken}}}, told)
	_, _ = conn.Write([]byte("abc"))
	_, _ = conn.Write([]byte("abc"))
	conn.Close()
	told.expect(t, "up abc, failed, close")
}

// Its answer and its end may be told by another goroutine before the one that sent goes on.
func TestARequestIsToldBeforeItIsSent(t *testing.T) {
	told := &note{wants: 100}
	conn := watched(&script{told: told}, told)
	_, _ = conn.Write([]byte("GET"))
	_, _ = conn.Write(nil)
	conn.Close()
	told.expect(t, "up GET, sent GET, sent , close")
}

func TestWhatADeadlineLeftOverIsNotToldAgain(t *testing.T) {
	late := os.ErrDeadlineExceeded
	told := &note{wants: 100}
	conn := watched(&script{writes: []outcome{{2, late}, {1, late}, {0, late}, {4, nil}}}, told)
	// In pieces of the host's choice, and with more after it.
	for _, piece := range []string{"abcdef", "cd", "d", "defg"} {
		_, _ = conn.Write([]byte(piece))
	}
	_, _ = conn.Write([]byte("hi"))
	conn.Close()
	told.expect(t, "up abcdef, up g, up hi, close")
}

func TestWhenNothingMoreIsWantedNothingMoreIsTold(t *testing.T) {
	told := &note{wants: 1}
	conn := watched(&script{reads: []answer{{"answer", nil}, {"", io.EOF}}}, told)
	_, _ = conn.Write([]byte("GET /"))
	_, _ = conn.Read(make([]byte, 16))
	_, _ = conn.Read(make([]byte, 16))
	conn.Close()
	told.expect(t, "up GET /, close")
}

func TestTheSendingSideCanBeClosedAlone(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.Copy(conn, conn)
	}()
	dialled, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	told := &note{wants: 100}
	conn := watched(dialled, told)
	defer conn.Close()
	half, ok := conn.(writeCloser)
	if !ok {
		t.Fatalf("%T", conn)
	}
	if inner := conn.(interface{ NetConn() net.Conn }).NetConn(); inner != dialled {
		t.Errorf("%T", inner)
	}
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := half.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	var heard bytes.Buffer
	if _, err := io.Copy(&heard, conn); err != nil || heard.String() != "hello" {
		t.Error(heard.String(), err)
	}
	told.expect(t, "up hello, down hello, eof")
	if _, ok := conn.(readCloser); !ok {
		t.Error("a TCP connection's receiving side can be closed alone")
	}
	// As of TLS, of which only the sending side can be.
	secured := watched(tls.Client(dialled, &tls.Config{InsecureSkipVerify: true}), &note{})
	if _, ok := secured.(writeCloser); !ok {
		t.Errorf("%T", secured)
	}
	if _, ok := secured.(readCloser); ok {
		t.Errorf("%T", secured)
	}
	pipe, other := net.Pipe()
	defer other.Close()
	plain := watched(pipe, &note{})
	defer plain.Close()
	if _, ok := plain.(writeCloser); ok {
		t.Error("a pipe's sending side cannot be closed alone")
	}
}

// As in enproxy: a read is under way when another goroutine closes.
func TestACloseMayComeDuringARead(t *testing.T) {
	for i := 0; i < 100; i++ {
		near, far := net.Pipe()
		told := &note{wants: 1000}
		conn := watched(near, told)
		var all sync.WaitGroup
		all.Add(3)
		go func() { defer all.Done(); _, _ = io.Copy(io.Discard, conn) }()
		go func() { defer all.Done(); _, _ = io.Copy(io.Discard, far) }()
		go func() {
			defer all.Done()
			_, _ = conn.Write([]byte("request"))
			_, _ = far.Write([]byte("answer"))
			conn.Close()
		}()
		all.Wait()
		far.Close()
	}
}

// Some servers never close a connection and leave it to the garbage collector.
func TestAForgottenConnectionIsClosedByTheCollector(t *testing.T) {
	told := &note{wants: 100}
	func() { _, _ = watched(&script{}, told).Write([]byte("x")) }()
	for i := 0; told.String() != "up x, close" && i < 1000; i++ {
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	told.expect(t, "up x, close")
}
