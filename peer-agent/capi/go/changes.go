package agent

// #include "peer_agent.h"
import "C"

import (
	"context"
	"errors"
	"sync"
)

// Changes tells each change of the standing, beginning with the one at the first call. Changes in quick succession may be told as one:
// whoever reads late finds the newest. It is the same channel at every call; the last standing in it is Stopped, and then Close closes
// it. From the first call on an agent that is forgotten is not collected: close it.
func (a *Agent) Changes() <-chan Standing {
	if a.isNone() {
		return nil
	}
	a.watchOnce.Do(func() {
		select {
		case <-a.closed:
			// Whoever asks now has missed them all.
			close(a.changes)
			a.watched.post(a.Standing(), true)
		default:
			go a.see()
		}
	})
	return a.changes
}

// Wait waits for a standing that fits, and returns it: the present one, if that does. The error is the context's, or ErrStopped. From the
// first call on an agent that is forgotten is not collected, as with Changes.
func (a *Agent) Wait(ctx context.Context, fits func(Standing) bool) (Standing, error) {
	if a.isNone() {
		return Standing{}, ErrStopped
	}
	a.Changes()
	var seen uint64
	for {
		if err := ctx.Err(); err != nil {
			return Standing{}, err
		}
		standing, changed, over := a.watched.look()
		if standing.Sequence > seen && fits(standing) {
			return standing, nil
		}
		if over {
			return Standing{}, ErrStopped
		}
		seen = standing.Sequence
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// newest is the newest standing that was seen, and a channel that is closed when there is another.
type newest struct {
	mu       sync.Mutex
	standing Standing
	changed  chan struct{}
	over     bool
}

func (n *newest) look() (standing Standing, changed <-chan struct{}, over bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.standing, n.changed, n.over
}

func (n *newest) post(standing Standing, over bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.standing, n.over = standing, over
	close(n.changed)
	n.changed = make(chan struct{})
}

// see, of which there is one however many want to know, keeps the newest standing known until the agent has stopped.
func (a *Agent) see() {
	defer close(a.changes)
	var seen uint64
	for {
		standing, err := a.next(seen)
		switch {
		case err == nil:
			seen = standing.Sequence
			a.watched.post(standing, false)
			a.tell(standing)
		case errors.Is(err, errTimedOut):
		default:
			// It may have stopped, and been freed, between two looks.
			last := a.Standing()
			a.watched.post(last, true)
			if last.Sequence > seen {
				a.tell(last)
			}
			return
		}
	}
}

// tell puts a standing in the place of an older one that nobody has read.
func (a *Agent) tell(standing Standing) {
	select {
	case <-a.changes:
	default:
	}
	a.changes <- standing
}

// next waits for a standing after number seen, for a while.
func (a *Agent) next(seen uint64) (Standing, error) {
	var standing Standing
	err := a.with(func(handle *C.peer_agent) error {
		var found *C.peer_agent_standing
		err := try(func(failed **C.peer_agent_error) C.peer_agent_status {
			return C.peer_agent_wait(handle, C.uint64_t(seen), milliseconds(slice), &found, failed)
		})
		if err == nil {
			standing = take(&found)
		}
		return err
	})
	return standing, err
}
