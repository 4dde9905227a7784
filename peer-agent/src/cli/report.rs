//! What the program prints: a line for a volunteer, or a JSON object for a program, whenever something changes.

use std::io::{self, Write};

use peer_agent::{Standing, give::Give};
use proto::{ids::PeerId, time::Timestamp};
use serde_json::{Value, json};

/// Where the lines go.
pub(super) struct Report {
    json: bool,
    last: String,
}

impl Report {
    pub(super) const fn new(json: bool) -> Self {
        Self {
            json,
            last: String::new(),
        }
    }

    /// The server listens and the agent runs.
    pub(super) fn started(&mut self, peer_id: &PeerId, give: &Give, address: &str) {
        let (listen, pin) = (give.addr().to_string(), give.pin().to_string());
        if self.json {
            let event = json!({
                "event": "started", "peer_id": peer_id.as_str(), "listen": listen, "address": address, "pin": pin,
            });
            self.line(event.to_string());
        } else {
            self.line(format!(
                "peer {peer_id} serves on {listen}, clients reach it at {address}"
            ));
        }
    }

    /// The attester found something, or the session changed.
    pub(super) fn standing(&mut self, standing: &Standing) {
        let line = if self.json {
            object(standing).to_string()
        } else {
            standing.sentence()
        };
        self.line(line);
    }

    /// A signal came.
    pub(super) fn stopping(&mut self) {
        if self.json {
            self.line(json!({"event": "stopping"}).to_string());
        } else {
            self.line(
                "stopping: saying goodbye, then finishing what is in progress (again to stop at once)".to_owned(),
            );
        }
    }

    /// Nothing runs any more.
    pub(super) fn stopped(&mut self) {
        let line = if self.json {
            json!({"event": "stopped"}).to_string()
        } else {
            "stopped".to_owned()
        };
        self.line(line);
    }

    /// What was said last is not said again: an attempt that fails like the one before is no news. Who reads the lines may
    /// have gone; the peer serves on.
    fn line(&mut self, line: String) {
        if line != self.last {
            let _ = writeln!(io::stdout(), "{line}");
            self.last = line;
        }
    }
}

fn object(standing: &Standing) -> Value {
    let seconds = |time: Option<Timestamp>| time.map(|time| time.seconds().as_u64());
    json!({
        "event": "standing",
        "state": standing.state.as_str(),
        "peer_id": standing.peer_id.as_str(),
        "own_name": standing.own_name,
        "attester": standing.attester,
        "reason": standing.reason,
        "remedy": standing.remedy,
        "last_verdict": seconds(standing.last_verdict),
        "valid_until": seconds(standing.valid_until),
    })
}

#[cfg(test)]
mod tests {
    use peer_agent::State;

    use super::*;

    fn standing(state: State, remedy: Option<&str>) -> Standing {
        Standing {
            state,
            peer_id: proto::key::SigningKey::from_seed(&[1; 32]).public().peer_id(),
            own_name: Some("peer-x.example".to_owned()),
            attester: Some("attester.example:7443".to_owned()),
            reason: remedy.map(|_| "code".to_owned()),
            remedy: remedy.map(str::to_owned),
            last_verdict: Some(Timestamp::from_secs(7)),
            valid_until: None,
        }
    }

    #[test]
    fn a_program_reads_the_same() {
        let object = object(&standing(State::Suspended, Some("no route")));
        assert_eq!(object["state"], "suspended");
        assert_eq!(
            (&object["reason"], &object["remedy"]),
            (&json!("code"), &json!("no route"))
        );
        assert_eq!(
            (&object["last_verdict"], &object["valid_until"]),
            (&json!(7), &Value::Null)
        );
    }
}
