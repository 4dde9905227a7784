package agent

// #include "peer_agent.h"
//
// // With the string where Go has it: nothing is copied or allocated for the many connections that nobody wants to see.
// static peer_agent_flow *open_flow(const peer_agent *agent, _GoString_ destination) {
//     peer_agent_flow *flow = NULL;
//     (void)peer_agent_flow_open(agent, _GoStringPtr(destination), _GoStringLen(destination), &flow, NULL);
//     return flow;
// }
import "C"

import "sync"

// flow is a connection to an announced destination, as it is reported to the library.
type flow struct {
	mu     sync.Mutex
	handle *C.peer_agent_flow
}

// open asks whether to report a connection to destination; nil, nearly always.
func (a *Agent) open(destination string) reporter {
	if a == nil || destination == "" || !a.mu.TryRLock() {
		return nil
	}
	defer a.mu.RUnlock()
	if a.handle == nil {
		return nil
	}
	handle := C.open_flow(a.handle, destination)
	if handle == nil {
		return nil
	}
	return &flow{handle: handle}
}

func (f *flow) up(bytes []byte) bool {
	return f.report(func(handle *C.peer_agent_flow) C.peer_agent_status {
		return C.peer_agent_flow_up(handle, (*C.uint8_t)(&bytes[0]), C.size_t(len(bytes)), nil)
	})
}

func (f *flow) down(bytes []byte) bool {
	return f.report(func(handle *C.peer_agent_flow) C.peer_agent_status {
		return C.peer_agent_flow_down(handle, (*C.uint8_t)(&bytes[0]), C.size_t(len(bytes)), nil)
	})
}

func (f *flow) eof() {
	f.report(func(handle *C.peer_agent_flow) C.peer_agent_status { return C.peer_agent_flow_eof(handle, nil) })
}

func (f *flow) failed() {
	f.report(func(handle *C.peer_agent_flow) C.peer_agent_status { return C.peer_agent_flow_error(handle, nil) })
}

func (f *flow) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	C.peer_agent_flow_close(&f.handle)
}

// report tells whether more is wanted. The handle is not closed meanwhile.
func (f *flow) report(call func(*C.peer_agent_flow) C.peer_agent_status) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.handle != nil && call(f.handle) == C.PEER_AGENT_STATUS_OK
}
