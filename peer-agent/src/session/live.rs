//! One session, once connected: feeds the machine with what happens, and carries out what it decides.

use std::{collections::VecDeque, time::Duration};

use proto::{
    attest::{ToAgent, ToAttester, goodbye, to_attester},
    ids::ProbeId,
    time::Timestamp,
};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tonic::{Code, Status, Streaming};

use super::{
    Driver, Wish,
    channel::{Channel, status_text},
    error::SessionError,
    machine::{Conclusion, Effect, Input, Machine},
};
use crate::{config::Endpoint, standing::State};

/// Runs a session to its end. `Ok`: the host wanted it, and the attester was told.
pub(super) async fn run(driver: &mut Driver, channel: Channel, endpoint: Endpoint) -> Result<(), SessionError> {
    let Channel {
        inbound,
        outbound,
        binding,
        tasks,
    } = channel;
    let machine = Machine::remembering(driver.profile.clone(), binding, driver.remembered.newest());
    let live = Live {
        driver,
        outbound,
        windows: Vec::new(),
        began: Instant::now(),
    };
    let result = live.serve(machine, inbound, endpoint).await;
    tasks.end().await;
    result
}

struct Live<'a> {
    driver: &'a mut Driver,
    outbound: mpsc::Sender<ToAttester>,
    /// When the windows of armed probes end.
    windows: Vec<(Instant, ProbeId)>,
    began: Instant,
}

impl Live<'_> {
    async fn serve(
        mut self,
        mut machine: Machine,
        mut inbound: Streaming<ToAgent>,
        endpoint: Endpoint,
    ) -> Result<(), SessionError> {
        let began = self.driver.config.clock.now();
        let mut ticks = interval(CLOCK_CHECK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let window = self.windows.iter().min().copied();
            let input = tokio::select! {
                message = inbound.message() => Input::Message(received(message)?.message),
                Some(finished) = self.driver.finished.recv() => Input::Flow(Box::new(finished)),
                Some(probe) = window_end(window) => {
                    self.windows.retain(|(_, other)| *other != probe);
                    self.driver.tap.window_ended(probe);
                    continue;
                }
                () = sleep_until(self.began + REGISTER), if !machine.is_registered() => {
                    let (doing, seconds) = ("registering this peer", REGISTER.as_secs());
                    return Err(SessionError::TimedOut { endpoint, doing, seconds });
                }
                _ = ticks.tick() => {
                    self.check_clock(began)?;
                    continue;
                }
                () = self.driver.retests.asked(ASKED_AGAIN), if machine.is_registered() => Input::Retest,
                _ = self.driver.wishes.changed() => {
                    let wish = *self.driver.wishes.borrow();
                    let reason = match wish {
                        Wish::Run => continue,
                        Wish::Pause => goodbye::Reason::Paused,
                        Wish::Stop => goodbye::Reason::Stopping,
                    };
                    return self.leave(machine, inbound, reason).await;
                }
            };
            machine = self.step(machine, input)?;
        }
    }

    /// One step of the machine and what follows from it.
    fn step(&mut self, mut machine: Machine, input: Input) -> Result<Machine, SessionError> {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            if let Input::Flow(finished) = &input {
                let probe = finished.flow.expectation.announcement.probe;
                self.windows.retain(|(_, other)| *other != probe);
            }
            let (next, effects) = machine.step(input, self.driver.config.clock.now())?;
            machine = next;
            for effect in effects {
                inputs.extend(self.carry_out(effect)?);
            }
        }
        Ok(machine)
    }

    fn carry_out(&mut self, effect: Effect) -> Result<Option<Input>, SessionError> {
        let metrics = &self.driver.metrics;
        match effect {
            Effect::Send(message) => self.send(message)?,
            Effect::Arm { expectation, window } => {
                let probe = expectation.announcement.probe;
                let outcome = self.driver.tap.arm(*expectation).map_err(|error| error.to_string());
                if outcome.is_ok() {
                    metrics.announcements.add_one();
                    self.windows.push((Instant::now() + window.min(MAX_WINDOW), probe));
                } else {
                    metrics.announcements_refused.add_one();
                }
                return Ok(Some(Input::Armed(probe, outcome)));
            }
            Effect::Believed(trust) => self.driver.remembered.note(&trust),
            Effect::Revoked => return Err(SessionError::Revoked),
            Effect::Welcomed => {
                metrics.sessions.add_one();
                let rejected = self.driver.rejected;
                self.driver.report(|standing| {
                    standing.state = State::Registering;
                    // The attester was reached: what stood in the way is over.
                    if !rejected {
                        (standing.reason, standing.remedy) = (None, None);
                    }
                });
            }
            Effect::Registered { own_name } => {
                metrics.registrations.add_one();
                self.driver.failures = 0;
                tracing::info!(%own_name, "registered");
                self.driver.report(|standing| {
                    standing.state = State::Registered;
                    standing.own_name = Some(own_name).filter(|name| !name.is_empty());
                    (standing.reason, standing.remedy) = (None, None);
                });
            }
            Effect::Verdict(conclusion) => {
                metrics.verdicts.add_one();
                self.conclude(*conclusion);
            }
        }
        Ok(None)
    }

    fn conclude(&self, conclusion: Conclusion) {
        self.driver.report(|standing| {
            standing.state = conclusion.state.unwrap_or(standing.state);
            let code = conclusion.reason.as_deref().unwrap_or_default();
            standing.remedy = conclusion.remedy.map(|remedy| self.driver.with_ports(code, remedy));
            standing.reason = conclusion.reason;
            standing.last_verdict = Some(conclusion.issued_at.start());
            standing.valid_until = Some(conclusion.expires.start());
        });
    }

    /// Never waits: an attester that does not read would hold up the windows and the goodbye.
    fn send(&self, message: to_attester::Message) -> Result<(), SessionError> {
        let is_receipt = matches!(message, to_attester::Message::Receipt(_));
        let metrics = &self.driver.metrics;
        let sent = self.outbound.try_send(ToAttester { message: Some(message) });
        if is_receipt {
            if sent.is_ok() {
                metrics.receipts_sent.add_one()
            } else {
                metrics.receipts_dropped.add_one()
            }
        }
        sent.map_err(|error| match error {
            TrySendError::Full(_) => SessionError::Stalled,
            TrySendError::Closed(_) => SessionError::Ended,
        })
    }

    /// Sends what is ready and the goodbye, and waits a moment until the attester has read it.
    async fn leave(
        mut self,
        mut machine: Machine,
        mut inbound: Streaming<ToAgent>,
        reason: goodbye::Reason,
    ) -> Result<(), SessionError> {
        while let Ok(finished) = self.driver.finished.try_recv() {
            machine = self.step(machine, Input::Flow(Box::new(finished)))?;
        }
        self.step(machine, Input::Goodbye(reason))?;
        // The end of our side of the stream: the attester ends its own when it has read all.
        drop(self.outbound);
        let _ = timeout(DRAIN, async { while let Ok(Some(_)) = inbound.message().await {} }).await;
        Ok(())
    }

    fn check_clock(&self, began: Timestamp) -> Result<(), SessionError> {
        let passed = self.driver.config.clock.now().offset_from(began);
        if has_jumped(passed, self.began.elapsed()) {
            Err(SessionError::ClockJump)
        } else {
            Ok(())
        }
    }
}

/// Whether the clock went another way than the `elapsed` time, which no setting of the clock changes and in which no sleep of the
/// machine counts: `passed` is how many microseconds it went.
///
/// A session's times hold for the clock as it was at the welcome, so after a jump there must be another. A clock that stands
/// still is one that a test holds.
fn has_jumped(passed: i64, elapsed: Duration) -> bool {
    let elapsed = i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX);
    passed != 0 && Duration::from_micros(passed.abs_diff(elapsed)) > CLOCK_JUMP
}

fn received(message: Result<Option<ToAgent>, Status>) -> Result<ToAgent, SessionError> {
    match message {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(SessionError::Ended),
        Err(status) if status.code() == Code::Aborted => Err(SessionError::Replaced),
        Err(status) => Err(SessionError::Broken(status_text(&status))),
    }
}

async fn window_end(window: Option<(Instant, ProbeId)>) -> Option<ProbeId> {
    let (end, probe) = window?;
    sleep_until(end).await;
    Some(probe)
}

/// For everything up to the attester's answer: it dials the peer before it registers it.
const REGISTER: Duration = Duration::from_secs(30);
/// For the goodbye to be read; with what comes before it, a stop takes less than 2 s.
const DRAIN: Duration = Duration::from_secs(1);
/// A probe's window is seconds; what claims to be longer does not stay armed longer.
const MAX_WINDOW: Duration = Duration::from_secs(600);
/// An attester would probe no sooner for being asked more often, and ends the session of an agent that says too much.
const ASKED_AGAIN: Duration = Duration::from_secs(10);
const CLOCK_CHECK: Duration = Duration::from_secs(5);
/// Clocks that are slewed stay far below it; an attester's leeway is twice as long.
const CLOCK_JUMP: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_or_slept_has_jumped() {
        let day = 86_400_000_000;
        for (passed, elapsed, jumped) in [
            (60_000_000, 60, false),
            (64_000_000, 60, false),
            (66_000_000, 60, true),
            (54_000_000, 60, true),
            (-day, 60, true),
            (day, 60, true),
            (i64::MIN, 60, true),
            (i64::MAX, 0, true),
            (0, 3600, false),
        ] {
            assert_eq!(
                has_jumped(passed, Duration::from_secs(elapsed)),
                jumped,
                "{passed} in {elapsed} s"
            );
        }
    }
}
