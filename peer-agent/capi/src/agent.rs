//! A running agent, with a runtime of its own.

use std::{
    ffi::c_char,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use peer_agent::{Agent, AgentError, Tap};
use tokio::{
    runtime::{self, Runtime},
    time::Instant,
};

use crate::{
    arguments::{bytes, free, handle, out, out_pointer},
    board::{Board, Threads, Waited},
    config::PeerAgentConfig,
    error::{PeerAgentError, PeerAgentStatus, Problem, entry},
    flow::destination_of,
    standing::{self, PeerAgentStanding},
};

/// A running agent. Any thread may use it; nobody may while it is freed, or after.
#[derive(Debug)]
pub struct PeerAgent {
    /// Beside the lock: flows wait for nobody.
    tap: Tap,
    board: Arc<Board>,
    threads: Arc<Threads>,
    running: Mutex<Running>,
}

#[derive(Debug)]
struct Running {
    /// `None` once it was told to stop.
    agent: Option<Agent>,
    runtime: Option<Runtime>,
}

impl PeerAgent {
    fn start(config: &PeerAgentConfig) -> Result<Self, Problem> {
        let config = config.build()?;
        let threads = Arc::new(Threads::default());
        let runtime = runtime_of(&threads)?;
        let entered = runtime.enter();
        let agent = Agent::start(config, rand::rng()).map_err(|error| {
            let status = match error {
                AgentError::Identity(_)
                | AgentError::Folder { .. }
                | AgentError::Successions(_)
                | AgentError::Chain(_)
                | AgentError::KeysetFile(_)
                | AgentError::Moving { .. } => PeerAgentStatus::Identity,
                _ => PeerAgentStatus::InvalidSetting,
            };
            Problem::of(status, &error)
        })?;
        let board = Arc::new(Board::new(agent.standing()));
        let (posting, mut changes) = (Arc::clone(&board), agent.changes());
        changes.mark_changed();
        runtime.spawn(async move {
            while changes.changed().await.is_ok() {
                let standing = changes.borrow_and_update().clone();
                posting.post(standing);
            }
            // It was stopped; or it has a defect, which its last words tell.
            let last = changes.borrow().clone();
            posting.finish(last);
        });
        drop(entered);
        Ok(Self {
            tap: agent.tap(),
            board,
            threads,
            running: Mutex::new(Running {
                agent: Some(agent),
                runtime: Some(runtime),
            }),
        })
    }

    pub(crate) const fn tap(&self) -> &Tap {
        &self.tap
    }

    /// Does something with the agent, unless it was told to stop.
    fn with(&self, act: impl FnOnce(&Agent)) -> PeerAgentStatus {
        match &self.running().agent {
            Some(agent) if !self.board.is_finished() => {
                act(agent);
                PeerAgentStatus::Ok
            }
            _ => PeerAgentStatus::Stopped,
        }
    }

    /// Says goodbye, and waits until all has ended or the limit has come; then it goes on by itself.
    fn stop(&self, limit: Duration) -> PeerAgentStatus {
        {
            let mut running = self.running();
            if let (Some(agent), Some(runtime)) = (running.agent.take(), &running.runtime) {
                let (board, changes) = (Arc::clone(&self.board), agent.changes());
                runtime.spawn(async move {
                    agent.stop().await;
                    let last = changes.borrow().clone();
                    board.finish(last);
                });
            }
        }
        let began = Instant::now();
        // Without the lock, which would hold up the other threads' calls.
        if !self.board.wait_finished(limit) {
            return PeerAgentStatus::TimedOut;
        }
        let runtime = self.running().runtime.take();
        if let Some(runtime) = runtime {
            runtime.shutdown_timeout(limit.saturating_sub(began.elapsed()));
        }
        // They end at once, but for a look-up of a name that nobody answers: that takes as long as the system asks.
        match self.threads.wait(limit.saturating_sub(began.elapsed())) {
            true => PeerAgentStatus::Ok,
            false => PeerAgentStatus::TimedOut,
        }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PeerAgent {
    fn drop(&mut self) {
        self.stop(STOP);
        if let Some(runtime) = self.running().runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A runtime with one thread, and up to two more for look-ups of names.
fn runtime_of(threads: &Arc<Threads>) -> Result<Runtime, Problem> {
    let (starting, ending) = (Arc::clone(threads), Arc::clone(threads));
    let mut builder = runtime::Builder::new_multi_thread();
    builder
        .worker_threads(1)
        .max_blocking_threads(2)
        .thread_name("peer-agent")
        .on_thread_start(move || {
            starting.start();
            leave_signals_to_the_host();
        })
        .on_thread_stop(move || ending.end())
        .enable_all();
    let no_thread = |error: &dyn std::fmt::Display| {
        Problem::new(PeerAgentStatus::System, format!("the system gave no thread: {error}"))
    };
    // tokio panics where a thread cannot be had.
    match without_signals(|| catch_unwind(AssertUnwindSafe(|| builder.build()))) {
        Ok(built) => built.map_err(|error| no_thread(&error)),
        Err(_) => Err(no_thread(&"raise the limit of processes")),
    }
}

/// A signal that a thread of the library brings about, as SIGPIPE when an attester hangs up, must not end the host; and the host's
/// handlers run on its own threads.
#[cfg(unix)]
fn leave_signals_to_the_host() {
    use nix::sys::signal::{SigSet, Signal};

    let mut all = SigSet::all();
    // Blocked, what they tell would be undefined behaviour.
    for defect in [
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGFPE,
        Signal::SIGILL,
        Signal::SIGTRAP,
        Signal::SIGABRT,
    ] {
        all.remove(defect);
    }
    // It cannot fail for a mask that is one.
    let _ = all.thread_block();
}

#[cfg(not(unix))]
const fn leave_signals_to_the_host() {}

/// The thread that is made meanwhile inherits this one's signals: from its first moment it has none.
#[cfg(unix)]
fn without_signals<T>(make: impl FnOnce() -> T) -> T {
    let before = nix::sys::signal::SigSet::thread_get_mask();
    leave_signals_to_the_host();
    let made = make();
    if let Ok(before) = before {
        // It was this thread's.
        let _ = before.thread_set_mask();
    }
    made
}

#[cfg(not(unix))]
fn without_signals<T>(make: impl FnOnce() -> T) -> T {
    make()
}

/// An agent says its goodbye within 2 s, and is cut off then.
const STOP: Duration = Duration::from_millis(2500);

/// Starts an agent. It connects by itself, and again whenever a session ends; an attester that cannot be reached is no error,
/// the standing tells. The settings stay the caller's, and those of a running agent do not change: for another address or certificate stop
/// it and start another, which is the same peer as long as its identity is. Stop it with peer_agent_stop and free it with peer_agent_free.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_start(
    config: *const PeerAgentConfig,
    agent_out: *mut *mut PeerAgent,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    entry(error_out, || {
        // SAFETY: the caller's promise.
        let place = unsafe { out_pointer(agent_out, "agent_out") }?;
        // SAFETY: the caller's promise.
        let config = unsafe { handle(config, "config") }?;
        place.set(Box::into_raw(Box::new(PeerAgent::start(config)?)));
        Ok(PeerAgentStatus::Ok)
    })
}

/// Says goodbye, so that the peer leaves every rotation at once, and ends. Waits for at most `limit_ms` milliseconds (2500 is
/// enough unless the system is looking up a name that nobody answers): PEER_AGENT_STATUS_TIMED_OUT when it goes on by itself then.
/// With PEER_AGENT_STATUS_OK all its threads have done their work. To stop an agent again does no harm.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_stop(
    agent: *const PeerAgent,
    limit_ms: u32,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    entry(error_out, || {
        // SAFETY: the caller's promise.
        let agent = unsafe { handle(agent, "agent") }?;
        Ok(agent.stop(Duration::from_millis(limit_ms.into())))
    })
}

/// Frees an agent and sets the caller's variable to NULL; one that runs is stopped first, which takes up to 2.5 s. Does nothing for
/// NULL, or for a variable that is NULL already. No other thread may be in a call with it, not in peer_agent_wait either: stop it
/// first, which ends the waits. Its flows may be closed later.
///
/// # Safety
/// `agent` is NULL, or points to NULL or an agent that was not freed and that nobody else uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_free(agent: *mut *mut PeerAgent) {
    // SAFETY: the caller's promise.
    unsafe { free(agent) };
}

/// Asks whether a probe is expected at `destination` now, "host:port" by pointer and length. To report the flow, open it: this
/// alone arms and changes nothing.
///
/// # Safety
/// Pointers as in the contract; `destination` is NULL or points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_is_armed(
    agent: *const PeerAgent,
    destination: *const c_char,
    length: usize,
    armed_out: *mut bool,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    entry(error_out, || {
        // SAFETY: the caller's promise.
        let place = unsafe { out(armed_out, false, "armed_out") }?;
        // SAFETY: the caller's promise.
        let agent = unsafe { handle(agent, "agent") }?;
        // SAFETY: the caller's promise.
        let destination = unsafe { bytes(destination.cast(), length, "destination") }?;
        // The client chose the text and its length: it is not looked at for nothing.
        let armed = agent.tap.is_waiting()
            && destination_of(destination).is_some_and(|destination| agent.tap.is_armed(destination));
        place.set(armed);
        Ok(PeerAgentStatus::Ok)
    })
}

/// Gives a snapshot of where the peer stands. Also of an agent that was stopped.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_standing_get(
    agent: *const PeerAgent,
    standing_out: *mut *mut PeerAgentStanding,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    entry(error_out, || {
        // SAFETY: the caller's promise.
        let place = unsafe { out_pointer(standing_out, "standing_out") }?;
        // SAFETY: the caller's promise.
        let agent = unsafe { handle(agent, "agent") }?;
        place.set(standing::shown(&agent.board.newest()));
        Ok(PeerAgentStatus::Ok)
    })
}

/// Gives the same as one JSON object: "sequence", "state" (its name), "sentence", "peer_id", "own_name", "attester", "reason", "remedy",
/// "last_verdict" and "valid_until", with null where the struct has NULL or 0. Free it with peer_agent_string_free.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_standing_json(
    agent: *const PeerAgent,
    json_out: *mut *mut c_char,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    entry(error_out, || {
        // SAFETY: the caller's promise.
        let place = unsafe { out_pointer(json_out, "json_out") }?;
        // SAFETY: the caller's promise.
        let agent = unsafe { handle(agent, "agent") }?;
        place.set(standing::json(&agent.board.newest()).into_raw());
        Ok(PeerAgentStatus::Ok)
    })
}

/// Waits for at most `limit_ms` milliseconds until the standing has a greater number than `sequence` (0: any), and gives it. Changes
/// in quick succession may be told as one. PEER_AGENT_STATUS_TIMED_OUT when there was none, PEER_AGENT_STATUS_STOPPED when there will
/// be none any more; `*standing_out` is NULL then. With a limit of 0 it is a question that waits for nobody.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_wait(
    agent: *const PeerAgent,
    sequence: u64,
    limit_ms: u32,
    standing_out: *mut *mut PeerAgentStanding,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    entry(error_out, || {
        // SAFETY: the caller's promise.
        let place = unsafe { out_pointer(standing_out, "standing_out") }?;
        // SAFETY: the caller's promise.
        let agent = unsafe { handle(agent, "agent") }?;
        Ok(
            match agent.board.wait(sequence, Duration::from_millis(limit_ms.into())) {
                Waited::Changed(posted) => {
                    place.set(standing::shown(&posted));
                    PeerAgentStatus::Ok
                }
                Waited::TimedOut => PeerAgentStatus::TimedOut,
                Waited::Finished => PeerAgentStatus::Stopped,
            },
        )
    })
}

/// Says goodbye and rests: the peer leaves every rotation at once, without penalty. It is begun when this returns; the standing tells when it
/// is done. PEER_AGENT_STATUS_STOPPED after a stop.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_pause(
    agent: *const PeerAgent,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    // SAFETY: the caller's promise.
    unsafe { told(agent, error_out, Agent::pause) }
}

/// Ends a pause: the agent looks for its attester again. PEER_AGENT_STATUS_STOPPED after a stop.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_resume(
    agent: *const PeerAgent,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    // SAFETY: the caller's promise.
    unsafe { told(agent, error_out, Agent::resume) }
}

/// Asks for a probe soon, for an owner who has mended something. An agent without a session tries again at once; with one the
/// attester is asked, which then probes as soon as it would probe anybody. Several wishes within some seconds are one. It ends no pause.
/// PEER_AGENT_STATUS_STOPPED after a stop.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_retest(
    agent: *const PeerAgent,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    // SAFETY: the caller's promise.
    unsafe { told(agent, error_out, Agent::retest) }
}

/// # Safety
/// As the functions that call it.
unsafe fn told(agent: *const PeerAgent, error_out: *mut *mut PeerAgentError, wish: fn(&Agent)) -> PeerAgentStatus {
    entry(error_out, || {
        // SAFETY: the caller's promise.
        let agent = unsafe { handle(agent, "agent") }?;
        Ok(agent.with(wish))
    })
}
