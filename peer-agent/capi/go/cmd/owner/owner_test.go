package owner

import (
	"bytes"
	"strings"
	"testing"

	"peer-agent.example/agent"
)

func TestWhatIsSoIsSaidOnce(t *testing.T) {
	changes := make(chan agent.Standing, 10)
	for number, sentence := range []string{"connecting", "verified", "verified", "verified", "paused", "verified"} {
		changes <- agent.Standing{Sequence: uint64(number), Sentence: sentence}
	}
	close(changes)
	var output bytes.Buffer
	Tell(&output, changes)
	if said := output.String(); said != "connecting\nverified\npaused\nverified\n" {
		t.Errorf("%q", said)
	}
}

func TestEachEnterIsHeard(t *testing.T) {
	asked := 0
	Hear(strings.NewReader("\nplease\n\n"), func() error { asked++; return agent.ErrStopped })
	if asked != 3 {
		t.Error(asked)
	}
}
