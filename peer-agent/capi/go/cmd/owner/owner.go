// Package owner is how a peer talks with whoever runs it.
package owner

import (
	"bufio"
	"fmt"
	"io"

	"peer-agent.example/agent"
)

// Tell says what is so and what to do, as a line whenever that changes: not at every verdict.
func Tell(output io.Writer, changes <-chan agent.Standing) {
	last := ""
	for standing := range changes {
		if sentence := standing.String(); sentence != last {
			last = sentence
			fmt.Fprintln(output, sentence)
		}
	}
}

// Hear calls what the owner asks for with Enter.
func Hear(input io.Reader, asked func() error) {
	for lines := bufio.NewScanner(input); lines.Scan(); {
		_ = asked()
	}
}
