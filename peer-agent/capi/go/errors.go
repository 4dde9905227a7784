package agent

// #include "peer_agent.h"
import "C"

import "errors"

// Error is why a call failed.
type Error struct {
	// Status is the library's, in one word, such as "invalid-setting" or "identity".
	Status string
	// Message says what is wrong and what to do.
	Message string
}

func (e *Error) Error() string { return "agent: " + e.Message }

// ErrStopped is what calls to an agent that was closed return.
var ErrStopped = errors.New("agent: it has been stopped")

var errTimedOut = errors.New("agent: timed out")

// try makes a call, and an error of what went wrong in it.
func try(call func(**C.peer_agent_error) C.peer_agent_status) error {
	var failed *C.peer_agent_error
	switch status := call(&failed); status {
	case C.PEER_AGENT_STATUS_OK:
		return nil
	case C.PEER_AGENT_STATUS_STOPPED:
		return ErrStopped
	case C.PEER_AGENT_STATUS_TIMED_OUT:
		return errTimedOut
	default:
		err := &Error{
			Status:  C.GoString(C.peer_agent_status_name(C.uint32_t(status))),
			Message: C.GoString(C.peer_agent_error_message(failed)),
		}
		C.peer_agent_error_free(&failed)
		return err
	}
}
